"""Makes thumbnails, previews and derived files: jobs from the catalog, each decoded in a sandbox of its own."""
