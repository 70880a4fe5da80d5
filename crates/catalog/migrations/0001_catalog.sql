-- Names are compared in lower case, so that a store cannot pass for another; `name_folded` is also what search reads.
CREATE TABLE store (
    id           uuid   NOT NULL PRIMARY KEY,
    seller_id    uuid   NOT NULL,
    name         text   NOT NULL,
    name_folded  text   NOT NULL,
    description  text   NOT NULL,
    opened_at_ms bigint NOT NULL,
    closed_at_ms bigint,
    UNIQUE (name_folded)
);
CREATE INDEX store_newest ON store (opened_at_ms, id) WHERE closed_at_ms IS NULL;
CREATE INDEX store_seller_newest ON store (seller_id, opened_at_ms, id) WHERE closed_at_ms IS NULL;

-- `parent_id` is the nil id for a root: NULLs would all differ from one another in the unique constraint.
CREATE TABLE category (
    id        uuid NOT NULL PRIMARY KEY,
    parent_id uuid NOT NULL,
    name      text NOT NULL,
    UNIQUE (parent_id, name)
) {clustered};

-- What lists show and sort by. `price_min`, `in_stock` and `sold` follow from other rows and are written with them.
-- The text of an item has a table of its own, so that counting a sale does not rewrite it.
CREATE TABLE item (
    id            uuid    NOT NULL PRIMARY KEY,
    store_id      uuid    NOT NULL REFERENCES store (id),
    seller_id     uuid    NOT NULL,
    category_id   uuid    NOT NULL REFERENCES category (id),
    name          text    NOT NULL,
    on_sale       boolean NOT NULL,
    hidden        boolean NOT NULL,
    price_min     bigint  NOT NULL,
    in_stock      boolean NOT NULL,
    sold          bigint  NOT NULL,
    version       bigint  NOT NULL,
    created_at_ms bigint  NOT NULL,
    UNIQUE (store_id, name)
) {clustered};

-- One index for each scope (market, store, category) and sort key; each is read from either end.
CREATE INDEX item_newest ON item (created_at_ms, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_popular ON item (sold, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_price ON item (price_min, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_store_newest ON item (store_id, created_at_ms, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_store_popular ON item (store_id, sold, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_store_price ON item (store_id, price_min, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_category_newest ON item (category_id, created_at_ms, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_category_popular ON item (category_id, sold, id) WHERE on_sale AND NOT hidden;
CREATE INDEX item_category_price ON item (category_id, price_min, id) WHERE on_sale AND NOT hidden;

CREATE TABLE item_text (
    item_id     uuid NOT NULL PRIMARY KEY REFERENCES item (id),
    description text NOT NULL
);

-- Never deleted: orders know them. `in_stock` is what the order service last said, at `turned_at_ms` by its clock.
CREATE TABLE item_option (
    item_id          uuid    NOT NULL REFERENCES item (id),
    id               uuid    NOT NULL,
    position         bigint  NOT NULL,
    name             text    NOT NULL,
    price            bigint  NOT NULL,
    initial_stock    bigint  NOT NULL,
    limit_per_member bigint,
    limit_days       bigint,
    withdrawn        boolean NOT NULL,
    in_stock         boolean NOT NULL,
    turned_at_ms     bigint  NOT NULL,
    PRIMARY KEY (item_id, id)
) {clustered};
