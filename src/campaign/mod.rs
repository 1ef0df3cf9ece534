//! Campaigns before anything is sent: who may be texted when. Pure: no input, no output, no SQL, no clock of its own.

pub mod definition;
pub mod holidays;
pub mod law;
pub mod number_report;
pub mod schedule;
pub mod terms;
pub mod timing;
pub mod window;
pub mod zones;
