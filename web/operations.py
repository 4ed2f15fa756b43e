"""Every operation of the service: the one table that routes, the OpenAPI document's test and access tests come from."""

from typing import Final

from web import (
    api_account,
    api_blob_reads,
    api_blobs,
    api_connect,
    api_devices,
    api_entries,
    api_exports,
    api_files,
    api_manifests,
    api_purge,
    api_tree,
    api_uploads,
    client_files,
    pages_connect,
    pages_devices,
    pages_files,
    pages_handoff,
    pages_home,
    probes,
)
from web.openapi import get_openapi
from web.routing import Operation, api, form, open_to_all, page

_DEVICE: Final = "/api/v1/devices/{device}"
_FILE: Final = "/api/v1/devices/{device}/files/{area}/{path:path}"
_ENTRY: Final = "/api/v1/entries/{entry}"

API: Final[tuple[Operation, ...]] = (
    open_to_all("GET", "/livez", probes.livez),
    open_to_all("GET", "/readyz", probes.readyz),
    open_to_all("GET", "/api/v1/openapi.json", get_openapi),
    api("GET", "/api/v1/me", api_account.get_me),
    api("GET", "/api/v1/devices", api_devices.list_devices),
    api("POST", "/api/v1/devices", api_devices.create_device),
    api("GET", _DEVICE, api_devices.get_device),
    api("PATCH", _DEVICE, api_devices.change_device),
    api("DELETE", _DEVICE, api_devices.remove_device),
    api("GET", f"{_DEVICE}/tokens", api_devices.list_tokens),
    api("POST", f"{_DEVICE}/tokens", api_devices.create_token),
    api("DELETE", _DEVICE + "/tokens/{token}", api_devices.revoke_token),
    api("PUT", _FILE, api_files.put_file),
    api("GET", _FILE, api_files.get_file),
    api("DELETE", _FILE, api_files.delete_file),
    api("GET", f"{_DEVICE}/entries", api_entries.list_entries),
    api("GET", f"{_DEVICE}/tree", api_tree.list_tree),
    api("GET", f"{_DEVICE}/manifests", api_manifests.list_manifests),
    api("POST", f"{_DEVICE}/manifests", api_manifests.commit_manifest),
    api("POST", "/api/v1/blobs", api_blobs.store_blobs),
    api("POST", "/api/v1/blobs/missing", api_blobs.missing_blobs),
    api("POST", "/api/v1/blobs/read", api_blob_reads.read_blobs),
    api("POST", "/api/v1/blobs/status", api_blob_reads.blob_status),
    *api_uploads.OPERATIONS,
    api("GET", "/api/v1/search", api_entries.search),
    api("GET", "/api/v1/deleted", api_entries.list_deleted),
    api("POST", "/api/v1/entries/rename", api_entries.rename_entry),
    api("POST", "/api/v1/entries/delete", api_entries.delete_entries),
    api("POST", "/api/v1/entries/recover", api_entries.recover_entries),
    api("POST", "/api/v1/entries/purge", api_purge.purge_entries),
    api("GET", "/api/v1/retention", api_purge.get_retention),
    api("PUT", "/api/v1/retention", api_purge.set_retention),
    api("GET", _ENTRY, api_entries.get_entry),
    api("GET", f"{_ENTRY}/content", api_entries.get_content),
    api("GET", f"{_ENTRY}/versions", api_entries.list_versions),
    api("POST", "/api/v1/exports", api_exports.create_export),
    api("GET", "/api/v1/exports/{export}/{name}.zip", api_exports.get_export),
    api("GET", "/api/v1/audit", api_account.list_audit),
    open_to_all("POST", "/api/v1/connect", api_connect.start_connection),
    open_to_all("POST", "/api/v1/connect/token", api_connect.collect_token),
)

PAGES: Final[tuple[Operation, ...]] = (
    open_to_all("GET", "/auth/handoff", pages_handoff.handoff),
    open_to_all("POST", "/auth/handoff", pages_handoff.handoff),
    open_to_all("POST", "/sign-out", pages_home.sign_out),
    page("/", pages_home.dashboard),
    page("/devices", pages_devices.devices_page),
    form("/devices", pages_devices.create_device),
    page("/devices/{device}", pages_devices.device_page),
    form("/devices/{device}", pages_devices.change_device),
    page("/files/{device}/{area}", pages_files.area_redirect),
    page("/files/{device}/{area}/{path:path}", pages_files.folder_page),
    page("/entries/{entry}", pages_files.entry_page),
    form("/entries/delete", pages_files.delete_entries),
    form("/entries/recover", pages_files.recover_entries),
    form("/entries/{entry}/rename", pages_files.rename_entry),
    form("/exports", pages_files.create_export),
    page("/deleted", pages_files.deleted_page),
    page("/search", pages_files.search_page),
    page("/audit", pages_home.activity),
    page("/connect", pages_connect.connect_page),
    form("/connect", pages_connect.decide),
    open_to_all("GET", "/connect/install.sh", client_files.get_install_sh),
    open_to_all("GET", "/connect/install.ps1", client_files.get_install_ps1),
    open_to_all("GET", "/connect/{wheel}.whl", client_files.get_wheel),
)

OPERATIONS: Final = API + PAGES
