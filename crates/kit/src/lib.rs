//! The words every part of the market shares: ids, money, time, faults, pages, secrets.
//!
//! No I/O happens here and no business rule lives here.

pub mod audit;
pub mod clock;
pub mod ctx;
pub mod fault;
pub mod id;
pub mod jwt;
pub mod money;
pub mod page;
pub mod secret;

pub use clock::{Clock, ManualClock, Millis, SystemClock};
pub use ctx::{Ctx, Lang, Role};
pub use fault::{Code, Fault, FieldError, Kind, Result};
pub use id::{Ids, RequestId, SystemIds};
pub use money::{Currency, Money};
pub use page::{Cursor, Page};
pub use secret::{Personal, Secret};
