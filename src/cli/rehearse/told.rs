//! What a rehearsal came to, for people and for machines. It judges nothing itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dispatch::terms::Terms;
use crate::report::audit::Audit;
use crate::report::status::Status;

use super::super::{Context, ledger, print, status};
use super::stand_in::{self, StandIn};

/// A rehearsal at its end.
pub(super) struct Told<'a> {
    pub(super) status: &'a Status,
    pub(super) audit: &'a Audit,
    /// The last words of the simulator.
    pub(super) said: &'a Value,
    /// Whether the run came to its end in time.
    pub(super) complete: bool,
    pub(super) stand_ins: &'a BTreeMap<String, StandIn>,
}

impl Told<'_> {
    pub(super) fn print(&self, context: &Context, terms: &Terms) -> anyhow::Result<()> {
        let fired = self.said.get("fired").and_then(Value::as_array).cloned().unwrap_or_default();
        if context.json() {
            return print::json(&json!({
                "status": self.status, "audit": self.audit, "agrees": self.audit.agrees(), "complete": self.complete,
                "fired": fired, "stands_in": stand_in::as_json(self.stand_ins, terms),
            }));
        }
        if !self.complete {
            print::note("the time is over; what waits is counted as waiting");
        }
        status::show(self.status);
        print::line("");
        for fault in &fired {
            let name = fault["fault"].as_str().unwrap_or_default();
            print::line(format!("fault  {} × {name}", fault["times"]));
        }
        if !fired.is_empty() {
            print::line("");
        }
        stand_in::words(self.stand_ins, terms).iter().for_each(print::line);
        print::line("");
        ledger::show(self.audit);
        Ok(())
    }
}
