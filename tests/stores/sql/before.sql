CREATE TABLE schema_version (component TEXT PRIMARY KEY, version INTEGER);
INSERT INTO schema_version VALUES ('api_keys', 2), ('exposed_names', 1), ('kills', 1), ('logins', 2), ('pins', 4), ('revocations', 1);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, tenant TEXT NOT NULL,
    kind TEXT NOT NULL, roles TEXT NOT NULL, scopes TEXT NOT NULL, created_at REAL NOT NULL,
    expires_at REAL, last_used_at REAL, revoked_at REAL, verifier TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
INSERT INTO api_keys VALUES ('abc', 'h', 'ann', 'n', 't', 'user', '[]', '[]', 1.0, NULL, NULL, NULL, 'v');
CREATE TABLE exposed_names (
    kind TEXT NOT NULL, exposed TEXT NOT NULL, server TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (kind, exposed)) WITHOUT ROWID;
INSERT INTO exposed_names VALUES ('tools', 'one__echo', 'one', 'echo');
CREATE TABLE kills (
    kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (kind, name)) WITHOUT ROWID;
INSERT INTO kills VALUES ('tool', 'rm', 'why', 'root', 5.0);
CREATE TABLE logins (
    id TEXT PRIMARY KEY, client_id TEXT NOT NULL, tenant TEXT NOT NULL, subject TEXT NOT NULL, via TEXT NOT NULL,
    granted TEXT NOT NULL, number INTEGER NOT NULL, created_at REAL NOT NULL, used_at REAL NOT NULL,
    expires_at REAL NOT NULL, ended_at REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX logins_of ON logins (tenant, subject, ended_at);
INSERT INTO logins VALUES ('login', 'app', 't', 'ann', '', '{}', 3, 1.0, 1.0, 9e9, 0);
CREATE TABLE pins (
    server TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL,
    at_s REAL NOT NULL, by TEXT NOT NULL, PRIMARY KEY (server, kind, name)) WITHOUT ROWID;
INSERT INTO pins VALUES ('one', 'tools', 'echo', 'sha256:0', '{}', 1.0, 'first use');
CREATE TABLE quarantine (
    server TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL,
    why TEXT NOT NULL, at_s REAL NOT NULL, is_rejected INTEGER NOT NULL,
    PRIMARY KEY (server, kind, name)) WITHOUT ROWID;
INSERT INTO quarantine VALUES ('one', 'tools', 'echo', 'sha256:1', '{"a": 1}', 'changed', 1.0, 0);
CREATE TABLE pins_written (one INTEGER PRIMARY KEY CHECK (one = 1), times INTEGER NOT NULL);
INSERT INTO pins_written VALUES (1, 9);
CREATE TABLE revocations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, tenant TEXT NOT NULL,
    issuer TEXT NOT NULL, value TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL);
INSERT INTO revocations VALUES (7, 'r1', 'token', '', 'iss', 'jti', 1.0, 9e9);
CREATE TABLE grants (
    upstream TEXT NOT NULL, tenant TEXT NOT NULL, issuer TEXT NOT NULL, subject TEXT NOT NULL,
    sealed TEXT NOT NULL, key_id TEXT NOT NULL, version INTEGER NOT NULL, server TEXT NOT NULL,
    scope TEXT NOT NULL, created_at REAL NOT NULL, written_at REAL NOT NULL,
    PRIMARY KEY (upstream, tenant, issuer, subject)) WITHOUT ROWID;
INSERT INTO grants VALUES ('docs', 'acme', 'iss', 'ann', 'sealed', 'k', 1, 'https://as', 'read', 1.0, 2.0);
