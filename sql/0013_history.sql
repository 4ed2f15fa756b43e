-- From which moment on a device's history is whole: what a rule deleted for good was there before.

ALTER TABLE device ADD COLUMN history_from DATETIME(6) NULL;

-- Of what was purged by a rule before this was kept, nothing tells when it ended: all of those moments are refused.
UPDATE device d SET history_from =
    (SELECT MAX(m.at) FROM manifest m
     WHERE m.tenant_id = d.tenant_id AND m.device_id = d.id AND m.purged > 0 AND m.actor_kind <> 'user');
