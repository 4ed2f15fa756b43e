# Installs otb-cloud for this account and connects this computer to OTB Cloud. Needs no administrator; may be run again.
#
# It makes a Python environment of its own in %LOCALAPPDATA%\otb-cloud, installs otb-cloud there with pip (checked by its
# digest; what it needs comes from your usual package index), and puts the command into %USERPROFILE%\.local\bin. To
# remove it all, delete %LOCALAPPDATA%\otb-cloud and %USERPROFILE%\.local\bin\otb-cloud.cmd

function Install-OtbCloud {
    $url = @URL@
    $wheel = @WHEEL@
    $sha256 = @SHA256@

    $folder = Join-Path $env:LOCALAPPDATA 'otb-cloud'
    $venv = Join-Path $folder 'venv'
    $python = Join-Path $venv 'Scripts\python.exe'
    $program = Join-Path $venv 'Scripts\otb-cloud.exe'
    $bin = Join-Path $env:USERPROFILE '.local\bin'

    $found = $null
    foreach ($candidate in 'py', 'python3', 'python') {
        if (-not (Get-Command $candidate -ErrorAction SilentlyContinue)) { continue }
        & $candidate -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>&1 | Out-Null
        if ($LASTEXITCODE -eq 0) { $found = $candidate; break }
    }
    if (-not $found) {
        Write-Host 'otb-cloud needs Python 3.9 or newer, and this computer has none.'
        Write-Host 'Install it with "winget install Python.Python.3.13" or from python.org, then run this again.'
        return
    }

    Write-Host "Installing otb-cloud into $folder"
    New-Item -ItemType Directory -Force -Path $folder, $bin | Out-Null
    $works = $false
    if (Test-Path $python) {
        & $python -m pip --version 2>&1 | Out-Null
        $works = $LASTEXITCODE -eq 0
    }
    if (-not $works) {
        & $found -m venv --clear $venv
        if ($LASTEXITCODE -ne 0) { Write-Host 'Python could not make its environment: see above.'; return }
    }
    & $python -m pip install --quiet --no-input --disable-pip-version-check --upgrade --force-reinstall `
        "otb-cloud-client @ $url/connect/$wheel#sha256=$sha256"
    if ($LASTEXITCODE -ne 0) {
        Write-Host 'pip could not install otb-cloud: see above. Run this again when that is mended.'
        return
    }

    Set-Content -Path (Join-Path $bin 'otb-cloud.cmd') -Encoding Ascii -Value @(
        '@echo off'
        '"%LOCALAPPDATA%\otb-cloud\venv\Scripts\otb-cloud.exe" %*'
    )
    if (($env:Path -split ';') -notcontains $bin) {
        Write-Host "$bin is not on your PATH. To call otb-cloud by its name, add it there:"
        Write-Host 'Settings, System, About, Advanced system settings, Environment Variables, Path, New.'
    }
    & $program login $url
}

# Called on the last line, so that a script that came only in part does nothing.
Install-OtbCloud
