-- The rights of the application's database user, given again after every migration by tools/migrate.
-- It can neither change the schema nor alter or remove an audit event.

GRANT SELECT, INSERT ON {db}.audit_event TO {user};
GRANT SELECT ON {db}.audit_head TO {user};
GRANT SELECT, UPDATE ON {db}.audit_checkpoint TO {user};
GRANT SELECT, INSERT, UPDATE ON {db}.audit_head_kept TO {user};
GRANT SELECT ON {db}.schema_version TO {user};
GRANT SELECT ON {db}.store TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.tenant TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.ledger TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.user TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.staff TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.handoff TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.session TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.device TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.device_source TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.device_token TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.`blob` TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.pack TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.upload TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.verification TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.possession TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.journal_head TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.manifest TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.directory TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.entry TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.export TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.export_member TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.export_device TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.export_part TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.scrub_run TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.sweep_candidate TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.sweep_run TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.retention TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.connection TO {user};
GRANT SELECT, INSERT, DELETE ON {db}.connection_guess TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.rebuild TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.rebuilt_tenant TO {user};
