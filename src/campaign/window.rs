//! The local hours in which a contact may be texted, for each day of the week. Knows no zones and no dates.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use serde::{Deserialize, Serialize};

/// Hours by weekday in local civil time, half-open: 20:00 is outside `10:00-20:00`. At most one span a day.
///
/// Written as `10:00-20:00` for every day, or by days: `mon-fri 09:00-21:00, sun 12:00-21:00`; days that are not
/// named are closed. `24:00` is the end of a day; hours over midnight are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window([Option<Span>; 7]);

/// Minutes after midnight by the wall clock, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First minute inside.
    pub from: u16,
    /// First minute outside again, at most 1440.
    pub to: u16,
}

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// Not of the form that is expected.
    #[error("`{0}` is not a window; write hours like 10:00-20:00, or mon-fri 09:00-21:00, sat 10:00-18:00")]
    Form(String),
    /// Ends before it starts, or at the same time.
    #[error(
        "the window `{0}` ends before it starts; a window stays within one day, from 00:00 to 24:00 at most"
    )]
    Order(String),
    /// A day is named twice.
    #[error("`{0}` is named twice in one window; a day has one span of hours")]
    Twice(String),
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;

impl Window {
    /// Every hour of every day.
    pub const ALWAYS: Window = Window([Some(Span { from: 0, to: DAY_MINUTES }); 7]);

    /// The hours that both windows have.
    #[must_use]
    pub fn intersect(&self, other: &Window) -> Window {
        let mut days = [None; 7];
        for (day, (a, b)) in days.iter_mut().zip(self.0.iter().zip(&other.0)) {
            *day = match (a, b) {
                (Some(a), Some(b)) => Span::new(a.from.max(b.from), a.to.min(b.to)),
                _ => None,
            };
        }
        Window(days)
    }

    /// The hours of one day; `None` on a closed day.
    pub fn on(&self, day: Weekday) -> Option<Span> {
        self.0[usize::try_from(day.to_monday_zero_offset()).expect("0 to 6")]
    }

    /// Whether no day has any hour.
    pub fn is_never(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl Span {
    fn new(from: u16, to: u16) -> Option<Self> {
        (from < to && to <= DAY_MINUTES).then_some(Self { from, to })
    }
}

impl FromStr for Window {
    type Err = BadWindow;

    fn from_str(text: &str) -> Result<Self, BadWindow> {
        let mut days = [None; 7];
        for part in text.split(',').map(str::trim) {
            let form = || BadWindow::Form(part.to_owned());
            let (named, hours) = match part.split_once(' ') {
                Some((named, hours)) if !part.starts_with(|first: char| first.is_ascii_digit()) => {
                    (day_range(named).ok_or_else(form)?, hours.trim())
                }
                _ => (0..=6, part),
            };
            let (from, to) = hours.split_once('-').ok_or_else(form)?;
            let (from, to) = (minute(from).ok_or_else(form)?, minute(to).ok_or_else(form)?);
            let span = Span::new(from, to).ok_or_else(|| BadWindow::Order(part.to_owned()))?;
            for day in named {
                if days[day].replace(span).is_some() {
                    return Err(BadWindow::Twice(DAYS[day].to_owned()));
                }
            }
        }
        Ok(Self(days))
    }
}

impl TryFrom<String> for Window {
    type Error = BadWindow;

    fn try_from(text: String) -> Result<Self, BadWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl fmt::Display for Window {
    /// Runs of days with the same hours, as [`Window::from_str`] reads them; `never` when there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            return f.write_str("never");
        }
        let mut at = 0;
        let mut comma = "";
        while at < 7 {
            let end = (at..7).take_while(|&day| self.0[day] == self.0[at]).last().unwrap_or(at);
            if let Some(span) = self.0[at] {
                f.write_str(comma)?;
                match (at, end) {
                    (0, 6) => {}
                    _ if at == end => write!(f, "{} ", DAYS[at])?,
                    _ => write!(f, "{}-{} ", DAYS[at], DAYS[end])?,
                }
                write!(f, "{span}")?;
                comma = ", ";
            }
            at = end + 1;
        }
        Ok(())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// `mon` or `mon-fri`, as positions in the week.
fn day_range(text: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let position = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (position(first)?, position(last)?);
    (first <= last).then_some(first..=last)
}

/// `9:05` or `09:05`, in minutes after midnight.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |s: &str| (1..=2).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY_MINUTES).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::{BadWindow, Window};

    #[test]
    fn a_window_is_shown_as_it_is_written() {
        let check = |text: &str, shown: &str| {
            let window: Window = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(window.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(window), "{text}");
        };
        check("10:00-20:00", "10:00-20:00");
        check(" 9:00 - 24:00 ", "09:00-24:00");
        check("mon-sat 09:00-21:00, sun 12:00-21:00", "mon-sat 09:00-21:00, sun 12:00-21:00");
        check("SAT 9:30-13:00,mon-fri 09:00-18:00", "mon-fri 09:00-18:00, sat 09:30-13:00");
        check("mon-wed 08:00-20:00, thu-sun 08:00-20:00", "08:00-20:00");
    }

    #[test]
    fn a_window_that_makes_no_sense_is_refused_with_the_way_out() {
        let check = |text: &str, expected: fn(String) -> BadWindow, part: &str| {
            assert_eq!(text.parse::<Window>(), Err(expected(part.to_owned())), "{text}");
        };
        check("", BadWindow::Form, "");
        check("10-20", BadWindow::Form, "10-20");
        check("10:00", BadWindow::Form, "10:00");
        check("10:60-20:00", BadWindow::Form, "10:60-20:00");
        check("10:00-25:00", BadWindow::Form, "10:00-25:00");
        check("+9:00-20:00", BadWindow::Form, "+9:00-20:00");
        check("funday 10:00-20:00", BadWindow::Form, "funday 10:00-20:00");
        check("sat-mon 10:00-20:00", BadWindow::Form, "sat-mon 10:00-20:00");
        check("20:00-08:00", BadWindow::Order, "20:00-08:00");
        check("10:00-10:00", BadWindow::Order, "10:00-10:00");
        check("mon 10:00-12:00, mon-tue 14:00-16:00", BadWindow::Twice, "mon");
    }

    #[test]
    fn an_intersection_never_has_more_than_either_window() {
        let check = |a: &str, b: &str, expected: &str| {
            let (a, b): (Window, Window) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a.intersect(&b).to_string(), expected);
            assert_eq!(b.intersect(&a).to_string(), expected);
        };
        check("10:00-20:00", "08:00-21:00", "10:00-20:00");
        check("08:00-12:00", "10:00-20:00", "10:00-12:00");
        check("08:00-12:00", "12:00-20:00", "never");
        check("10:00-22:00", "mon-sat 09:00-21:00, sun 12:00-21:00", "mon-sat 10:00-21:00, sun 12:00-21:00");
        check("mon-fri 09:00-18:00", "sat-sun 09:00-18:00", "never");
        assert_eq!(Window::ALWAYS.intersect(&Window::ALWAYS), Window::ALWAYS);
    }
}
