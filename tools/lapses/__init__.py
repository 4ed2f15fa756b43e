"""Mail to owners whose devices have not backed up for days."""
