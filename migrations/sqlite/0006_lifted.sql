-- Whether a number was set free since a report that its owner opted out: a repeat of that report changes nothing.
CREATE INDEX suppressions_lifted ON suppressions (phone, lifted_at) WHERE lifted_at IS NOT NULL;
