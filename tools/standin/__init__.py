"""A stand-in for OTB Billing, the OutsideTheBox Client Portal. It signs real handoffs: the way in is the real way in.

For trying OTB Cloud on one machine. Whoever reaches its page may come in as anyone on it, so it listens on loopback
alone.
"""
