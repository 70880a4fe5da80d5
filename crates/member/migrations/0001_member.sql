-- Keys that lock one member's personal data, themselves locked by the master key. Without its row, everything the
-- key has locked (here and in every backup made later) is unreadable.
CREATE TABLE data_key (
    id            uuid   NOT NULL PRIMARY KEY,
    member_id     uuid   NOT NULL,
    wrapped       bytea  NOT NULL,
    created_at_ms bigint NOT NULL
) {clustered};
CREATE INDEX data_key_member ON data_key (member_id);

-- E-mail, name and phone are sealed; `email_index` is the keyed hash by which an address is found.
CREATE TABLE member (
    id                   uuid   NOT NULL PRIMARY KEY,
    role                 text   NOT NULL CHECK (role IN ('buyer', 'seller', 'admin')),
    data_key_id          uuid   NOT NULL,
    email_index          bytea  NOT NULL UNIQUE,
    email                bytea  NOT NULL,
    name                 bytea  NOT NULL,
    phone                bytea,
    business_name        text,
    -- PHC text; without one nobody can log in.
    password_hash        text,
    email_verified_at_ms bigint,
    disabled_at_ms       bigint,
    joined_at_ms         bigint NOT NULL
) {clustered};

-- Who asked for a phone number first has it. A sign-up with an e-mail that is taken leaves a claim too (without a
-- member): otherwise a second sign-up with the same phone would tell that there is no such e-mail.
CREATE TABLE phone_claim (
    phone_index   bytea  NOT NULL PRIMARY KEY,
    email_index   bytea  NOT NULL,
    member_id     uuid,
    claimed_at_ms bigint NOT NULL
) {clustered};
CREATE INDEX phone_claim_member ON phone_claim (member_id);

-- The one open verification of a member's e-mail; asking again replaces it.
CREATE TABLE verification (
    member_id     uuid   NOT NULL PRIMARY KEY REFERENCES member (id),
    token_hash    bytea  NOT NULL UNIQUE,
    expires_at_ms bigint NOT NULL
) {clustered};
CREATE INDEX verification_expires ON verification (expires_at_ms);

-- A sign-in on a device: the family of its refresh tokens.
CREATE TABLE session (
    id            uuid   NOT NULL PRIMARY KEY,
    member_id     uuid   NOT NULL REFERENCES member (id),
    -- What the device said it is, sealed with the member's key.
    device        bytea,
    created_at_ms bigint NOT NULL,
    -- No token of it is alive after this.
    live_until_ms bigint NOT NULL,
    ended_at_ms   bigint
) {clustered};
CREATE INDEX session_member ON session (member_id);
CREATE INDEX session_live ON session (live_until_ms);
CREATE INDEX session_ended ON session (ended_at_ms, id) WHERE ended_at_ms IS NOT NULL;

CREATE TABLE refresh_token (
    hash          bytea  NOT NULL PRIMARY KEY,
    session_id    uuid   NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    expires_at_ms bigint NOT NULL,
    used_at_ms    bigint
) {clustered};
CREATE INDEX refresh_token_session ON refresh_token (session_id);
CREATE INDEX refresh_token_expires ON refresh_token (expires_at_ms);
-- A family has one living end.
CREATE UNIQUE INDEX refresh_token_unused ON refresh_token (session_id) WHERE used_at_ms IS NULL;

CREATE TABLE signing_key (
    id            uuid   NOT NULL PRIMARY KEY,
    pkcs8         bytea  NOT NULL,
    created_at_ms bigint NOT NULL,
    -- From then on its tokens are not believed and it is not published.
    retired_at_ms bigint
) {clustered};

-- Written in the transaction of its cause. Recipient and text are sealed, and wiped once they are delivered.
CREATE TABLE mail (
    id              uuid   NOT NULL PRIMARY KEY,
    member_id       uuid   NOT NULL,
    data_key_id     uuid   NOT NULL,
    recipient_index bytea  NOT NULL,
    subject         text   NOT NULL,
    recipient       bytea,
    body            bytea,
    state           text   NOT NULL CHECK (state IN ('queued', 'sent', 'given_up')),
    attempts        bigint NOT NULL,
    -- Nobody else takes it before.
    due_at_ms       bigint NOT NULL,
    created_at_ms   bigint NOT NULL,
    sent_at_ms      bigint
) {clustered};
CREATE INDEX mail_due ON mail (state, due_at_ms);
CREATE INDEX mail_recipient ON mail (recipient_index, created_at_ms);
