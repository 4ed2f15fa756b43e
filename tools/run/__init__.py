"""`make run`: a private MariaDB, the stand-in portal and the app, on 127.0.0.1 alone, until Ctrl-C."""
