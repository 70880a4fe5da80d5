-- The ledger. Amounts are signed minor units of the account's currency.
CREATE TABLE account (
    id            uuid   NOT NULL PRIMARY KEY,
    kind          text   NOT NULL,
    -- The member of a wallet; nil for the market's own accounts.
    owner_id      uuid   NOT NULL,
    currency      text   NOT NULL,
    balance_minor bigint NOT NULL,
    -- Entries so far: the next one gets this number plus one.
    entries       bigint NOT NULL,
    UNIQUE (kind, owner_id, currency),
    CHECK (kind <> 'wallet' OR balance_minor >= 0),
    CHECK (kind <> 'clearing' OR balance_minor >= 0),
    CHECK (entries >= 0)
) {clustered};

CREATE TABLE transfer (
    id            uuid   NOT NULL PRIMARY KEY,
    cause         text   NOT NULL,
    -- The attempt, or the credit itself: one transfer for each cause.
    cause_id      uuid   NOT NULL,
    order_id      uuid,
    actor_id      uuid   NOT NULL,
    reason        text,
    request_id    text   NOT NULL,
    created_at_ms bigint NOT NULL,
    UNIQUE (cause, cause_id)
) {clustered};

-- Never updated, never deleted.
CREATE TABLE entry (
    account_id          uuid   NOT NULL REFERENCES account (id),
    seq                 bigint NOT NULL,
    transfer_id         uuid   NOT NULL REFERENCES transfer (id),
    amount_minor        bigint NOT NULL,
    balance_after_minor bigint NOT NULL,
    PRIMARY KEY (account_id, seq),
    CHECK (amount_minor <> 0)
) {clustered};
CREATE INDEX entry_transfer ON entry (transfer_id);

-- One row per attempt to pay an order: the saga's memory.
CREATE TABLE attempt (
    id             uuid   NOT NULL PRIMARY KEY,
    member_id      uuid   NOT NULL,
    order_id       uuid   NOT NULL,
    key            text   NOT NULL,
    fingerprint    bigint NOT NULL,
    request_id     text   NOT NULL,
    state          text   NOT NULL,
    -- Known once the order has said what to charge.
    amount_minor   bigint,
    -- Why it was refused or undone: a fault, as JSON.
    refusal        text,
    tries          bigint NOT NULL,
    -- Until then it is being driven, or rests after a failure.
    next_try_at_ms bigint NOT NULL,
    created_at_ms  bigint NOT NULL,
    ended_at_ms    bigint
) {clustered};
CREATE UNIQUE INDEX attempt_open_key ON attempt (member_id, key) WHERE ended_at_ms IS NULL;
CREATE INDEX attempt_due ON attempt (next_try_at_ms) WHERE ended_at_ms IS NULL;
CREATE INDEX attempt_order ON attempt (order_id);
