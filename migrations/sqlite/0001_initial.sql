-- SQLite: the first schema. Times are UTC milliseconds, money is millionths of a unit, JSON is text,
-- phones are the digits of E.164, flags are 0 or 1.

CREATE TABLE store_meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE contacts (
    id INTEGER NOT NULL PRIMARY KEY,
    customer_id TEXT UNIQUE,
    phone INTEGER NOT NULL UNIQUE,
    country TEXT,
    number_kind TEXT NOT NULL,
    first_name TEXT,
    last_name TEXT,
    email TEXT,
    locale TEXT,
    zone TEXT,
    stage TEXT,
    consent_at INTEGER,
    unreachable_at INTEGER,
    attrs TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE contact_tags (
    contact_id INTEGER NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (contact_id, tag)
) STRICT, WITHOUT ROWID;

-- contact_id is null while no contact has this customer_id; importing the contact joins them.
CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY,
    contact_id INTEGER REFERENCES contacts (id) ON DELETE CASCADE,
    customer_id TEXT,
    kind TEXT NOT NULL,
    event_id TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    value INTEGER,
    props TEXT NOT NULL DEFAULT '{}',
    UNIQUE (kind, event_id)
) STRICT;
CREATE INDEX events_of_contact ON events (contact_id, kind, occurred_at, value) WHERE contact_id IS NOT NULL;
CREATE INDEX events_waiting ON events (customer_id) WHERE contact_id IS NULL;

-- A row is a period during which a number must not be texted in a scope: 'all', or one sender.
CREATE TABLE suppressions (
    id INTEGER NOT NULL PRIMARY KEY,
    phone INTEGER NOT NULL,
    scope TEXT NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN ('stop', 'review', 'provider', 'operator', 'complaint')),
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    lifted_at INTEGER,
    lifted_by TEXT
) STRICT;
CREATE UNIQUE INDEX suppressions_in_force ON suppressions (phone, scope) WHERE lifted_at IS NULL;

CREATE TABLE pools (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE coupons (
    id INTEGER NOT NULL PRIMARY KEY,
    pool_id INTEGER NOT NULL REFERENCES pools (id),
    code TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN
        ('available', 'reserved', 'sent', 'redeemed', 'expired', 'voided', 'quarantined')),
    message_id INTEGER,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX coupons_available ON coupons (pool_id, id) WHERE state = 'available';

CREATE TABLE runs (
    id INTEGER NOT NULL PRIMARY KEY,
    campaign TEXT NOT NULL,
    launch_key TEXT NOT NULL UNIQUE,
    plan_hash TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('preparing', 'running', 'paused', 'cancelling', 'cancelled', 'finished')),
    definition TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    currency TEXT NOT NULL,
    budget INTEGER,
    spent INTEGER NOT NULL DEFAULT 0,
    when_in_doubt TEXT NOT NULL CHECK (when_in_doubt IN ('park', 'resend', 'ask')),
    audience INTEGER NOT NULL,
    prepared INTEGER NOT NULL DEFAULT 0,
    cursor INTEGER NOT NULL DEFAULT 0,
    starts_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX runs_open ON runs (state) WHERE state IN ('preparing', 'running', 'paused', 'cancelling');

-- Contacts of one run that share the same zones and law share one row; it is rolled forward from day to day.
CREATE TABLE run_windows (
    id INTEGER NOT NULL PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    opens_at INTEGER NOT NULL,
    closes_at INTEGER NOT NULL,
    UNIQUE (run_id, key)
) STRICT;

CREATE TABLE messages (
    id INTEGER NOT NULL PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id),
    contact_id INTEGER NOT NULL,
    phone INTEGER NOT NULL,
    country TEXT NOT NULL,
    route TEXT NOT NULL,
    sender TEXT NOT NULL,
    window_id INTEGER NOT NULL,
    coupon_id INTEGER,
    body TEXT NOT NULL,
    encoding TEXT NOT NULL CHECK (encoding IN ('gsm7', 'ucs2')),
    parts INTEGER NOT NULL,
    price INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    dispatch TEXT NOT NULL CHECK (dispatch IN
        ('planned', 'queued', 'claimed', 'submitting', 'accepted', 'rejected', 'failed',
         'ambiguous', 'unknown', 'suppressed', 'cancelled', 'expired', 'blocked')),
    delivery TEXT NOT NULL DEFAULT 'none' CHECK (delivery IN
        ('none', 'en_route', 'assumed_expired', 'undelivered', 'rejected', 'expired', 'delivered', 'read')),
    epoch INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    lease_until INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_number INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    conflict INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    submitted_at INTEGER,
    settled_at INTEGER,
    delivery_at INTEGER,
    UNIQUE (run_id, contact_id)
) STRICT;
-- Claims look only at these two; their cost does not grow with the table.
CREATE INDEX messages_planned ON messages (window_id, route, id) WHERE dispatch = 'planned';
CREATE INDEX messages_queued ON messages (route, not_before, id) WHERE dispatch = 'queued';
-- Sweeps and the question whether a run is done.
CREATE INDEX messages_open ON messages (run_id, id)
    WHERE dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous');
-- STOP withdraws by number.
CREATE INDEX messages_withdrawable ON messages (phone) WHERE dispatch IN ('planned', 'queued', 'claimed');
-- received(campaign, period) and caps per contact.
CREATE INDEX messages_of_contact ON messages (contact_id, run_id);

CREATE TABLE attempts (
    message_id INTEGER NOT NULL REFERENCES messages (id),
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    route TEXT NOT NULL,
    owner TEXT NOT NULL,
    reference TEXT NOT NULL,
    intent_at INTEGER NOT NULL,
    answered_at INTEGER,
    outcome TEXT,
    code TEXT,
    detail TEXT,
    provider_id TEXT,
    PRIMARY KEY (message_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_by_provider_id ON attempts (route, provider_id) WHERE provider_id IS NOT NULL;

-- Raw callbacks, kept as they came so that a mended mapping can be replayed.
CREATE TABLE inbox (
    id INTEGER NOT NULL PRIMARY KEY,
    route TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('receipt', 'inbound')),
    received_at INTEGER NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    path_ref TEXT,
    content_type TEXT,
    body TEXT NOT NULL,
    body_encoding TEXT NOT NULL CHECK (body_encoding IN ('utf8', 'base64'))
) STRICT;

CREATE TABLE receipts (
    id INTEGER NOT NULL PRIMARY KEY,
    inbox_id INTEGER NOT NULL,
    route TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    message_id INTEGER,
    number INTEGER,
    reference TEXT,
    provider_id TEXT,
    state TEXT NOT NULL,
    status TEXT NOT NULL,
    code TEXT,
    opted_out INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX receipts_of_message ON receipts (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX receipts_waiting ON receipts (route, provider_id) WHERE message_id IS NULL;

CREATE TABLE inbound (
    id INTEGER NOT NULL PRIMARY KEY,
    inbox_id INTEGER NOT NULL,
    route TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    phone INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    text TEXT NOT NULL,
    provider_id TEXT,
    keyword TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX inbound_once ON inbound (route, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX inbound_of_phone ON inbound (phone, received_at);
