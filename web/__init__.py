"""HTTP: the handoff, sessions, the portal's pages, the API, streaming in and out."""
