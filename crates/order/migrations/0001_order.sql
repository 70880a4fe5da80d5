-- What is sold, as it was at a time. Never changed: an order line keeps the names and price it was bought with.
CREATE TABLE offer (
    id            uuid   NOT NULL PRIMARY KEY,
    option_id     uuid   NOT NULL,
    item_id       uuid   NOT NULL,
    store_id      uuid   NOT NULL,
    seller_id     uuid   NOT NULL,
    item_name     text   NOT NULL,
    option_name   text   NOT NULL,
    created_at_ms bigint NOT NULL
) {clustered};

-- Units of an option: on the shelf (sale_id all zeros) or set aside for one sale. Counted here and nowhere else.
CREATE TABLE stock (
    option_id      uuid    NOT NULL,
    sale_id        uuid    NOT NULL,
    offer_id       uuid    NOT NULL,
    store_id       uuid    NOT NULL,
    seller_id      uuid    NOT NULL,
    item_id        uuid    NOT NULL,
    price_minor    bigint  NOT NULL,
    on_sale        boolean NOT NULL,
    version        bigint  NOT NULL,
    limit_quantity bigint,
    limit_days     bigint,
    supplied       bigint  NOT NULL,
    available      bigint  NOT NULL CHECK (available >= 0),
    held           bigint  NOT NULL CHECK (held >= 0),
    sold           bigint  NOT NULL CHECK (sold >= 0),
    written_off    bigint  NOT NULL CHECK (written_off >= 0),
    PRIMARY KEY (option_id, sale_id),
    CHECK (supplied = available + held + sold + written_off)
) {clustered};
CREATE INDEX stock_sale ON stock (sale_id);

-- Every change of what is on hand: its cause and who made it. Holds are the orders themselves.
CREATE TABLE stock_entry (
    id        uuid   NOT NULL PRIMARY KEY,
    option_id uuid   NOT NULL,
    sale_id   uuid   NOT NULL,
    cause     text   NOT NULL,
    quantity  bigint NOT NULL,
    order_id  uuid,
    actor_id  uuid   NOT NULL,
    note      text   NOT NULL,
    at_ms     bigint NOT NULL
) {clustered};
CREATE INDEX stock_entry_option ON stock_entry (option_id, id);

CREATE TABLE sale (
    id               uuid   NOT NULL PRIMARY KEY,
    store_id         uuid   NOT NULL,
    seller_id        uuid   NOT NULL,
    name             text   NOT NULL,
    opens_at_ms      bigint NOT NULL,
    closes_at_ms     bigint NOT NULL,
    limit_per_member bigint,
    created_at_ms    bigint NOT NULL
) {clustered};
CREATE INDEX sale_closes ON sale (closes_at_ms, id);

CREATE TABLE orders (
    id                 uuid   NOT NULL PRIMARY KEY,
    member_id          uuid   NOT NULL,
    total_minor        bigint NOT NULL,
    placed_at_ms       bigint NOT NULL,
    hold_expires_at_ms bigint NOT NULL,
    -- A payment that runs: the hold cannot expire meanwhile.
    attempt_id         uuid,
    -- Set once, when the hold ends: by payment, cancel or expiry.
    hold_ended_at_ms   bigint,
    paid_at_ms         bigint
) {clustered};
CREATE INDEX orders_member ON orders (member_id, id);
CREATE INDEX orders_open ON orders (hold_expires_at_ms) WHERE hold_ended_at_ms IS NULL;

CREATE TABLE line (
    order_id         uuid   NOT NULL,
    line_no          bigint NOT NULL,
    option_id        uuid   NOT NULL,
    sale_id          uuid   NOT NULL,
    store_id         uuid   NOT NULL,
    offer_id         uuid   NOT NULL,
    quantity         bigint NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint NOT NULL,
    state            text   NOT NULL,
    -- The period whose allowance the line used; none when nothing limits it.
    allowance_day    bigint,
    PRIMARY KEY (order_id, line_no)
) {clustered};
CREATE INDEX line_store ON line (store_id, order_id);

-- Each move of a line after it was held: when, by whom, why.
CREATE TABLE line_change (
    order_id   uuid   NOT NULL,
    line_no    bigint NOT NULL,
    to_state   text   NOT NULL,
    from_state text   NOT NULL,
    at_ms      bigint NOT NULL,
    actor_id   uuid   NOT NULL,
    reason     text   NOT NULL,
    PRIMARY KEY (order_id, line_no, to_state)
) {clustered};

-- What a member has used of a purchase limit. The scope is the sale, or the option on the shelf.
CREATE TABLE allowance (
    scope_id  uuid   NOT NULL,
    member_id uuid   NOT NULL,
    day       bigint NOT NULL,
    used      bigint NOT NULL CHECK (used >= 0),
    cap       bigint NOT NULL CHECK (used <= cap),
    PRIMARY KEY (scope_id, member_id, day)
) {clustered};

-- Stores that have sold something here, and whose they are.
CREATE TABLE store (
    id        uuid NOT NULL PRIMARY KEY,
    seller_id uuid NOT NULL
) {clustered};
