//! Scripts as text, and what they make of answers and receipts.

use std::time::Duration;

use super::*;

fn delivered() -> [Step; 1] {
    [Step { after: Duration::from_secs(4), status: Status::Delivered, code: None }]
}

#[test]
fn every_script_that_comes_along_is_right_and_each_of_its_faults_may_happen() {
    for name in Script::names() {
        let script = Script::builtin(name).expect("it is there").unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(!script.about.is_empty(), "{name}");
        for (at, (fault, _)) in script.faults.iter().enumerate() {
            let shares = script.phases.iter().flat_map(|phase| phase.answers.iter().chain(&phase.receipts));
            assert!(shares.into_iter().any(|(share, of)| *of == at && *share > 0.0), "{name}: {fault}");
        }
    }
    assert!(Script::builtin("no-such").is_none());
}

#[test]
fn a_script_with_mistakes_is_refused_with_the_place_of_each() {
    let check = |text: &str, places: &[(usize, usize)], told: &str| {
        let wrong = Script::parse("mine.toml", text).expect_err(told);
        let found: Vec<_> = wrong.places().iter().map(|place| (place.line, place.column)).collect();
        assert_eq!(found, places, "{wrong}");
        assert!(wrong.to_string().contains(told), "{told}: {wrong}");
    };
    check(
        "about = 'x'\n[[phase]]\nanswers = [{ fault = 'resett', share = 0.1 }]\n",
        &[(3, 22)],
        "did you mean `reset`",
    );
    check("about = 'x'\n[[phase]]\nrequets = 3\n", &[(3, 1)], "did you mean `requests`");
    check("about = 'x'\n[[phase]]\n[[phase]]\n", &[(2, 1)], "only the last phase may have no end");
    check("about = 'x'\n[[phase]]\nrequests = 1\nseconds = 2\n", &[(2, 1)], "by `requests` or by `seconds`");
    let two = "about = 'x'\n[[phase]]\nanswers = [{ fault = 'empty', share = 0.6 }, { fault = 'html', share = 0.6 }]\n";
    check(two, &[(3, 11)], "add up to more than 1");
    check("about = 'x'\n[[phase]]\nlatency_ms = [9, 3]\n", &[(3, 14)], "95th percentile");
    check(
        "about = 'x'\n[[phase]]\nanswers = [{ fault = 'throttle', share = 0.1, accepts = true }]\n",
        &[(3, 47)],
        "accepts",
    );
    check(
        "about = 'x'\n[[phase]]\nanswers = [{ fault = 'late', share = 0.1 }]\n",
        &[(3, 22)],
        "there is no fault `late`",
    );
}

#[test]
fn phases_end_by_count_or_time_and_the_last_one_stays() {
    let text = "about = 'x'\n[[phase]]\nrequests = 2\nlatency_ms = [1, 1]\n[[phase]]\nseconds = 3\nlatency_ms = [2, 2]\n\
                [[phase]]\nrequests = 1\nlatency_ms = [3, 3]\n";
    let play = Play::new(Script::parse("mine.toml", text).unwrap_or_else(|wrong| panic!("{wrong}")));
    let at = |second| {
        let latency = play.phase(Duration::from_secs(second)).latency.expect("it has one");
        latency.median.as_millis()
    };
    assert_eq!([at(0), at(9), at(10), at(12), at(13), at(99)], [1, 1, 2, 2, 3, 3]);
}

#[test]
fn odd_receipts_are_those_of_the_message_and_one_thing_is_odd() {
    let shown = |reporting: Reporting| -> Vec<(u128, &'static str, Twist)> {
        let odd = reporting.distort(&delivered());
        odd.iter().map(|odd| (odd.step.after.as_millis(), odd.step.status.as_str(), odd.twist)).collect()
    };
    let good = (4_000, "delivered", Twist::None);
    assert_eq!(shown(Reporting::Early), [(0, "delivered", Twist::None)]);
    assert_eq!(shown(Reporting::Late(Duration::from_secs(5))), [(9_000, "delivered", Twist::None)]);
    assert_eq!(shown(Reporting::Repeated(3)), [good; 3]);
    assert_eq!(shown(Reporting::Reordered), [good, (4_200, "en_route", Twist::None)]);
    assert_eq!(shown(Reporting::Contradictory), [good, (4_200, "undelivered", Twist::None)]);
    assert_eq!(shown(Reporting::Stray), [good, (4_000, "delivered", Twist::Stray)]);
    assert_eq!(shown(Reporting::Foreign), [good, (4_000, "undelivered", Twist::Foreign)]);
    assert_eq!(shown(Reporting::Never), []);
    assert!(Reporting::Contradictory.distort(&[]).is_empty(), "what is never reported contradicts nothing");
}
