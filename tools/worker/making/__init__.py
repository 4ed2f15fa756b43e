"""What runs inside the sandbox: reading one file that nobody trusts, and making others of it.

Nothing here knows the catalog, the store or a tenant. It imports libraries of its field and nothing else of ours, so
that the process which decodes holds nothing worth having.
"""
