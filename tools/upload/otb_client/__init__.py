"""`otb-cloud`: the customer's side of OTB Cloud. Imports nothing of the server's."""
