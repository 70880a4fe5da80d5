//! Statements on the order database outside the intake: one function, one statement.

pub mod offer;
pub mod order;
pub mod sale;
pub mod stock;
