"""tools/migrate: makes the database, its user and its schema what this code needs. Safe to run again."""
