//! What must hold whatever happens, looked at after every change. Each rule is a function; the numbers are those of the
//! reliability rules that the simulation is held against. The provider's ledger, not the store, says what was sent.

use winback::dispatch::core::SEND_DEADLINE;
use winback::model::delivery::Delivery;
use winback::model::message::Verdict as DecidedAs;
use winback::model::outcome::OutcomeClass;
use winback::model::receipt::Receipt;
use winback::model::run::RunState;
use winback::model::state::Dispatch;

use super::calls::Callback;
use super::character::Character;
use super::model::reports::named;
use super::model::sending::{FOUND_BY_REFERENCE, number_of};
use super::node::Node;
use super::provider::Taken;
use super::tables::{Message, Named, ReceiptRow, Tables, at, id};

/// How long a replay may take from its record to its first byte, in milliseconds.
const REPLAY_LEAVES_MS: u64 = 2_000;

/// A rule that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    pub(crate) rule: &'static str,
    pub(crate) message: Option<i64>,
    pub(crate) told: String,
}

/// A callback that was answered with success: from then on it is ours.
pub(crate) struct Acked {
    pub(crate) id: i64,
    pub(crate) route: usize,
    pub(crate) receipts: Vec<Receipt>,
}

impl Acked {
    pub(crate) fn of(callback: &Callback) -> Self {
        Self { id: callback.id, route: callback.route, receipts: callback.receipts.clone() }
    }
}

/// What judges may look at.
pub(crate) struct View<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) ledger: &'a [Taken],
    pub(crate) acked: &'a [Acked],
    pub(crate) nodes: &'a [Node],
    pub(crate) character: &'a Character,
}

type Verdict = Result<(), Breach>;

/// Looks at what is new since the last time, and at every row that may have changed.
#[derive(Default)]
pub(crate) struct Judge {
    attempts: usize,
    ledger: usize,
    acked: usize,
    /// Callbacks and reports that are kept; fewer of them mean that something was forgotten.
    kept: (usize, usize),
}

impl Judge {
    /// Every rule that must hold at every moment.
    pub(crate) fn look(&mut self, view: &View<'_>) -> Verdict {
        let cut = view.tables.attempts.len() < self.attempts;
        let sent_since = if cut { 0 } else { self.ledger };
        let (new, sent) = (self.attempts.min(view.tables.attempts.len()), &view.ledger[sent_since..]);
        (self.attempts, self.ledger) = (view.tables.attempts.len(), view.ledger.len());
        nothing_is_lost(view)?;
        no_doubt_is_forgotten(view)?;
        for taken in sent {
            nothing_unexpected(view, taken)?;
            no_silent_duplicate(view, taken)?;
            nothing_after_stop(view, taken)?;
            nothing_late(view, taken)?;
            nothing_replayed_wrongly(view, taken)?;
            nothing_above_the_cap(view, taken)?;
            no_code_for_two(view, taken)?;
        }
        receipts_are_joined(view)?;
        let kept = (view.tables.inbox.len(), view.tables.receipts.len());
        let forgot = kept.0 < self.kept.0 || kept.1 < self.kept.1;
        acknowledged_is_kept(view, if forgot { 0 } else { self.acked })?;
        (self.acked, self.kept) = (view.acked.len(), kept);
        for attempt in new..view.tables.attempts.len() {
            nothing_outside_its_window(view, attempt)?;
        }
        nothing_intended_again_outside_its_window(view)?;
        nothing_above_the_budget(view)?;
        nothing_found_that_is_not_there(view)?;
        coupon_books_balance(view)?;
        doubt_is_bounded(view)
    }
}

fn breach(rule: &'static str, message: i64, told: impl Into<String>) -> Verdict {
    Err(Breach { rule, message: Some(message), told: told.into() })
}

/// I1: every planned message is there, terminal or waiting, and what waits can be reached by whoever should move it:
/// a run that still goes, a lease that ends, a time at which its doubt began.
fn nothing_is_lost(view: &View<'_>) -> Verdict {
    const RULE: &str = "I1 nothing is lost";
    let mut prepared = 0;
    for run in &view.tables.runs {
        prepared += run.prepared;
    }
    if prepared != id(view.tables.messages.len()) - 1 {
        let told = format!("{prepared} messages were planned, {} are there", view.tables.messages.len());
        return Err(Breach { rule: RULE, message: None, told });
    }
    for (place, m) in view.tables.messages.iter().enumerate() {
        let over = matches!(view.tables.run(m.run).state, RunState::Finished | RunState::Cancelled);
        let told = match m.dispatch {
            Dispatch::Planned | Dispatch::Queued if over => "it waits in a run that has ended",
            Dispatch::Claimed | Dispatch::Submitting if m.owner.is_none() || m.lease_until.is_none() => {
                "it is held by nobody"
            }
            Dispatch::Submitting if over => "it is under way in a run that has ended",
            Dispatch::Ambiguous if m.settled_at.is_none() => "its doubt never grows old",
            _ => continue,
        };
        return breach(RULE, id(place), told);
    }
    Ok(())
}

/// I1: of what was sent before, and may have arrived, it is never said that it did not, but by a person.
fn no_doubt_is_forgotten(view: &View<'_>) -> Verdict {
    for (place, m) in view.tables.messages.iter().enumerate() {
        let ended = m.dispatch.is_terminal() && !matches!(m.dispatch, Dispatch::Accepted | Dispatch::Unknown);
        if ended
            && view.tables.may_have_arrived(id(place))
            && view.tables.decided_last(id(place)) != Some(DecidedAs::NotSent)
        {
            let told = format!("it is {:?}, and a copy sent before may have arrived", m.dispatch);
            return breach("I1 nothing is lost", id(place), told);
        }
    }
    Ok(())
}

/// I2: between the intents of two copies that the provider took lies a recorded, flagged decision to send again.
fn no_silent_duplicate(view: &View<'_>, taken: &Taken) -> Verdict {
    const RULE: &str = "I2 no silent duplicate";
    let Some(message) = view.tables.messages.get(at(taken.message)) else { return Ok(()) };
    let intent = |t: &Taken| view.tables.attempt(t.message, t.number).map_or(0, |a| a.seq);
    let mut intents: Vec<u64> =
        view.ledger.iter().filter(|t| t.message == taken.message).map(intent).collect();
    intents.sort_unstable();
    for pair in intents.windows(2) {
        if !message.resent_in.iter().any(|decision| pair[0] < *decision && *decision < pair[1]) {
            let told = format!("taken {} times, {} resends were decided", intents.len(), message.resends);
            return breach(RULE, taken.message, told);
        }
    }
    if message.resends > 0 && !message.possible_duplicate {
        return breach(RULE, taken.message, "a resend is not flagged");
    }
    Ok(())
}

/// I3: whatever the provider took was planned for this number, and its intent is on disk.
fn nothing_unexpected(view: &View<'_>, taken: &Taken) -> Verdict {
    const RULE: &str = "I3 nothing unexpected";
    let planned = view.tables.messages.get(at(taken.message));
    if planned.is_none_or(|m| m.phone != taken.phone || m.coupon != taken.coupon) {
        return breach(RULE, taken.message, "the provider took a text that nobody planned");
    }
    if view.tables.attempt(taken.message, taken.number).is_none() {
        return breach(RULE, taken.message, "the provider took a text without a recorded intent");
    }
    Ok(())
}

/// I4: after a STOP is committed no intent for its number is, and what was intended before is on the wire within the
/// send deadline or never.
fn nothing_after_stop(view: &View<'_>, taken: &Taken) -> Verdict {
    let stop = view.tables.suppressions.iter().find(|s| {
        s.phone == taken.phone
            && s.lifted_at.is_none()
            && s.seq <= taken.seq
            && (s.scope == super::tables::EVERY || s.scope == taken.sender)
    });
    let (Some(stop), Some(attempt)) = (stop, view.tables.attempt(taken.message, taken.number)) else {
        return Ok(());
    };
    if attempt.seq >= stop.seq {
        return breach("I4 nothing after STOP", taken.message, "intended after the STOP was committed");
    }
    if u128::from(taken.stamp - stop.stamp) > SEND_DEADLINE.as_millis() {
        return breach("I4 nothing after STOP", taken.message, "on the wire long after the STOP");
    }
    Ok(())
}

/// A replay is taken only while its own record is fresh and its number may be texted: it is looked at once more before the
/// first byte.
fn nothing_replayed_wrongly(view: &View<'_>, taken: &Taken) -> Verdict {
    let Some(recorded) = taken.replay else { return Ok(()) };
    let inquiry = view.tables.inquiry(taken.message, taken.number).filter(|i| i.replay_seq == recorded);
    let Some(inquiry) = inquiry else {
        return breach("I3 nothing unexpected", taken.message, "replayed without a record of it");
    };
    if view.tables.is_suppressed(taken.phone, taken.sender) {
        return breach("I4 nothing after STOP", taken.message, "replayed after the STOP was committed");
    }
    if taken.stamp - inquiry.replay_stamp > REPLAY_LEAVES_MS {
        return breach("I6 limits", taken.message, "replayed long after that was recorded");
    }
    Ok(())
}

/// I6: a replay is recorded only inside the window, before the deadline, and in a run that is not stopped.
fn nothing_intended_again_outside_its_window(view: &View<'_>) -> Verdict {
    let Some(last) = view.tables.inquiries.iter().find(|i| i.replay_seq == view.tables.seq) else {
        return Ok(());
    };
    let m = view.tables.message(last.message);
    let (window, at) = (&view.tables.windows[at(m.window)], last.replayed_at.unwrap_or(0));
    let told = if at < window.opens_at || at >= window.closes_at {
        "replayed outside its window"
    } else if at >= m.expires_at {
        "replayed after its last useful moment"
    } else if !matches!(view.tables.run(m.run).state, RunState::Running | RunState::Finished) {
        "replayed in a run that is stopped"
    } else {
        return Ok(());
    };
    breach("I6 limits", last.message, told)
}

/// I3: what was accepted because its provider has it by our reference, its provider has.
fn nothing_found_that_is_not_there(view: &View<'_>) -> Verdict {
    let found = view.tables.attempts.iter().filter(|a| a.detail == Some(FOUND_BY_REFERENCE));
    for a in found {
        if !view.ledger.iter().any(|t| t.message == a.message && t.number == a.number) {
            return breach("I3 nothing unexpected", a.message, "found at a provider that does not have it");
        }
    }
    Ok(())
}

/// I6: a byte leaves within the send deadline after its intent, by the clock that does not stop.
fn nothing_late(view: &View<'_>, taken: &Taken) -> Verdict {
    let Some(attempt) = view.tables.attempt(taken.message, taken.number) else { return Ok(()) };
    if taken.replay.is_none()
        && u128::from(taken.stamp - attempt.stamp.min(taken.stamp)) > SEND_DEADLINE.as_millis()
    {
        return breach("I6 limits", taken.message, "on the wire after its deadline");
    }
    Ok(())
}

/// I6: an intent is committed only inside the window, before the deadline and in a running run.
fn nothing_outside_its_window(view: &View<'_>, attempt: usize) -> Verdict {
    let a = &view.tables.attempts[attempt];
    let m = view.tables.message(a.message);
    let window = &view.tables.windows[at(m.window)];
    let told = if a.intent_at < window.opens_at || a.intent_at >= window.closes_at {
        "intended outside its window"
    } else if a.intent_at >= m.expires_at {
        "intended after its last useful moment"
    } else if view.tables.run(m.run).state != RunState::Running {
        "intended in a run that is stopped"
    } else {
        return Ok(());
    };
    breach("I6 limits", a.message, told)
}

/// I6: no run reserves more than its budget, and what the provider took is paid from what is reserved.
fn nothing_above_the_budget(view: &View<'_>) -> Verdict {
    for (place, run) in view.tables.runs.iter().enumerate() {
        // What a person took for not sent, and the provider took all the same, costs what it costs.
        let mistaken = |t: &&Taken| view.tables.decided(t.message, t.number) == Some(DecidedAs::NotSent);
        let own = |t: &&Taken| view.tables.messages.get(at(t.message)).is_some_and(|m| m.run == id(place));
        let mistakes: i64 = view.ledger.iter().filter(own).filter(mistaken).map(|t| t.price).sum();
        if run.budget.is_some_and(|budget| run.spent > budget + mistakes) {
            let told = format!("run {} has spent {} of {:?}", id(place), run.spent, run.budget);
            return Err(Breach { rule: "I6 limits", message: None, told });
        }
        let unknown = |t: &&Taken| {
            let known = view.tables.attempt(t.message, t.number).and_then(|a| a.outcome);
            mistaken(t) && known != Some(OutcomeClass::Accepted)
        };
        let cost: i64 = view.ledger.iter().filter(own).filter(|t| !unknown(t)).map(|t| t.price).sum();
        if cost > run.spent {
            let told = format!("run {}: {cost} was taken, {} is counted", id(place), run.spent);
            return Err(Breach { rule: "I6 limits", message: None, told });
        }
    }
    Ok(())
}

/// I6: where a contact may have one text, the provider took one message for it, however many campaigns it fits; what a
/// person took for not sent takes nobody's turn.
fn nothing_above_the_cap(view: &View<'_>, taken: &Taken) -> Verdict {
    let mistaken = |t: &Taken| view.tables.decided(t.message, t.number) == Some(DecidedAs::NotSent);
    let other = |t: &&Taken| t.phone == taken.phone && t.message != taken.message && !mistaken(t);
    if view.character.capped
        && let Some(other) = view.ledger.iter().find(other)
    {
        let told = format!("the contact was texted before, by message {}", other.message);
        return breach("I6 limits", taken.message, told);
    }
    Ok(())
}

/// I5: the delivery state of a message has the rank of the highest report that is kept for it, and never more.
fn receipts_are_joined(view: &View<'_>) -> Verdict {
    let mut ranks = vec![Delivery::None.rank(); view.tables.messages.len()];
    for row in &view.tables.receipts {
        if let Some(rank) = row.message.and_then(|message| ranks.get_mut(at(message))) {
            *rank = (*rank).max(row.state.rank());
        }
    }
    for (place, m) in view.tables.messages.iter().enumerate() {
        let reported = ranks[place];
        if m.delivery.rank() != reported {
            let told = format!("it is {:?}, its receipts have rank {reported}", m.delivery);
            return breach("I5 receipts", id(place), told);
        }
    }
    Ok(())
}

/// I5: every callback that was acknowledged is in the inbox, and every report in it is kept once at least.
fn acknowledged_is_kept(view: &View<'_>, since: usize) -> Verdict {
    for acked in &view.acked[since..] {
        if !view.tables.inbox.iter().any(|raw| raw.id == acked.id) {
            let told = format!("callback {} was acknowledged and is not there", acked.id);
            return Err(Breach { rule: "I5 receipts", message: None, told });
        }
        for receipt in &acked.receipts {
            let (reference, pid) = (named(receipt), receipt.provider_id.as_deref().map(number_of));
            let kept = view.tables.receipts.iter().any(|row| {
                let ours = matches!(reference, Some(Named::Ours(m, n)) if row.message == Some(m) && row.number == Some(n));
                let by_id = pid.is_some() && row.provider_id == pid;
                let by_attempt = row.message.zip(row.number).is_some_and(|(m, n)| {
                    pid.is_some() && view.tables.attempt(m, n).is_some_and(|a| a.provider_id == pid)
                });
                row.route == acked.route
                    && row.status == receipt.status
                    && (ours || by_id || by_attempt || row.reference == reference)
            });
            if !kept {
                let told = format!("a report of callback {} was acknowledged and is not there", acked.id);
                return Err(Breach { rule: "I5 receipts", message: None, told });
            }
        }
    }
    Ok(())
}

/// A code is in the texts of one person only (the books of ARCHITECTURE, invariant 6).
fn no_code_for_two(view: &View<'_>, taken: &Taken) -> Verdict {
    let mistaken = |t: &Taken| view.tables.decided(t.message, t.number) == Some(DecidedAs::NotSent);
    let other = |t: &&Taken| t.coupon == taken.coupon && t.phone != taken.phone && !mistaken(t);
    if taken.coupon.is_some() && view.ledger.iter().any(|t| other(&t)) {
        return breach("coupon books", taken.message, "two people have its code");
    }
    Ok(())
}

/// Every message that may still go, has gone or may have gone holds its own code, in the state that belongs to it.
fn coupon_books_balance(view: &View<'_>) -> Verdict {
    let returned = |m: &Message, place: usize| {
        m.coupon.is_some()
            && view.tables.decisions.iter().any(|d| d.message == id(place) && d.verdict == DecidedAs::NotSent)
    };
    for (place, m) in view.tables.messages.iter().enumerate() {
        let Some(coupon) = m.coupon else { continue };
        let row = &view.tables.coupons[at(coupon)];
        let fits = match m.dispatch {
            Dispatch::Planned | Dispatch::Queued | Dispatch::Claimed | Dispatch::Submitting => {
                row.state == if m.possible_duplicate { "quarantined" } else { "reserved" }
            }
            // A code that had gone elsewhere before the proof came stays where it is.
            Dispatch::Accepted if row.message != Some(id(place)) => {
                row.contested_by.is_some() || returned(m, place)
            }
            Dispatch::Accepted => row.state == "sent",
            Dispatch::Ambiguous | Dispatch::Unknown => row.state == "quarantined",
            _ => {
                let own = row.message == Some(id(place));
                if view.tables.may_have_arrived(id(place)) { own && row.state == "quarantined" } else { !own }
            }
        };
        let open = !m.dispatch.is_terminal() || m.dispatch == Dispatch::Unknown;
        if !fits || (open && row.message != Some(id(place))) {
            let told = format!("{:?}, and its code is {} with {:?}", m.dispatch, row.state, row.message);
            return breach("coupon books", id(place), told);
        }
    }
    Ok(())
}

/// I11: what a process would leave in doubt if it died now is what its lanes may have under way, and answers that are
/// not written yet.
fn doubt_is_bounded(view: &View<'_>) -> Verdict {
    for node in view.nodes.iter().filter(|node| node.alive) {
        let own = |m: &&Message| m.dispatch == Dispatch::Submitting && m.owner == Some(node.owner);
        let open = view.tables.messages.iter().filter(own).count();
        let places: usize = view.character.lanes.iter().map(|lane| lane.in_flight * 2).sum();
        if open > places + node.unsettled {
            let told = format!("process {} has {open} under way, {places} are its windows", node.owner);
            return Err(Breach { rule: "I11 bounded doubt", message: None, told });
        }
    }
    Ok(())
}

/// What must hold once everything has settled: no report of a known attempt is left over, no evidence is unused.
pub(crate) fn at_rest(tables: &Tables) -> Verdict {
    for row in tables.receipts.iter().filter(|row| row.message.is_none()) {
        let Some(pid) = row.provider_id else { continue };
        let known = tables.attempts.iter().find(|a| a.route == row.route && a.provider_id == Some(pid));
        if let Some(attempt) = known {
            return breach("I5 receipts", attempt.message, "a report of it is kept and was never joined");
        }
    }
    for (place, m) in tables.messages.iter().enumerate() {
        let doubtful = matches!(m.dispatch, Dispatch::Ambiguous | Dispatch::Unknown);
        // What is reported of a refused copy proves nothing about the others.
        let told = |r: &ReceiptRow| r.message == Some(id(place)) && r.state != Delivery::None;
        let proves = |r: &ReceiptRow| {
            told(r) && tables.open_copies(id(place)).any(|copy| r.number.is_none_or(|number| number == copy))
        };
        if doubtful && tables.receipts.iter().any(proves) {
            return breach("I5 receipts", id(place), "it is in doubt although a receipt proves it was taken");
        }
        let open = tables.attempts.iter().any(|a| a.message == id(place) && a.outcome.is_none());
        if open && m.dispatch != Dispatch::Submitting {
            return breach("I1 nothing is lost", id(place), "an attempt of it was never closed");
        }
        let accepted =
            |a: &super::tables::Attempt| a.message == id(place) && a.outcome == Some(OutcomeClass::Accepted);
        if tables.attempts.iter().any(accepted) && m.dispatch != Dispatch::Accepted {
            return breach("I1 nothing is lost", id(place), "an attempt of it was accepted, it is not");
        }
    }
    Ok(())
}
