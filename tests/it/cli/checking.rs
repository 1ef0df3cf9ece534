//! What `check` finds, where it says it, and that plan and segment say the same.

use super::{Said, Shop};

const HEAD: &str = "routes = [\"us\"]\nschedule = { at = \"now\" }\n";

/// A campaign `c` with this segment, these lines and this text.
fn campaign(shop: &Shop, segment: &str, lines: &str, text: &str) {
    let text = format!("segment = \"{segment}\"\n{lines}\n[text]\nen = \"{text}\"\n");
    std::fs::write(shop.path("campaigns/c.toml"), text).expect("written");
}

fn with_customers() -> Shop {
    let shop = Shop::new();
    std::fs::write(shop.path("list.csv"), "phone,name,color,consent_at\n+12125550123,Ann,red,2026-01-31\n")
        .expect("written");
    shop.good(&["contact", "import", "list.csv"]);
    std::fs::write(shop.path("orders.csv"), "phone,order_id,date,total\n+12125550123,1,2026-02-01,5\n")
        .expect("written");
    shop.good(&["event", "import", "orders.csv", "--kind", "order"]);
    shop
}

#[test]
fn what_a_plan_would_refuse_is_found_and_shown_at_its_place() {
    let shop = with_customers();
    let check = |segment: &str, lines: &str, text: &str, place: &str, problem: &str| {
        campaign(&shop, segment, lines, text);
        let said = shop.run(&["check", "c"]);
        assert_eq!(said.code, Some(1), "{problem}: {}", said.out);
        assert!(said.out.contains(&format!("--> campaigns/c.toml:{place}\n")), "{place}: {}", said.out);
        assert!(said.out.contains(problem) && said.out.contains("^^"), "{problem}: {}", said.out);
        let plan = shop.run(&["plan", "c"]);
        assert_eq!(plan.code, Some(1), "{}", plan.out);
    };
    check("true", HEAD, "Hi {{ frist_name }}", "6:13", "there is no `frist_name`");
    check("true", HEAD, "Hi {{ attr.colour }}", "6:13", "did you mean `attr.color`?");
    check("attr.colour = 'red'", HEAD, "Hi", "1:12", "no contact has `attr.colour`");
    check("count('ordr') > 0", HEAD, "Hi", "1:18", "did you mean 'order'?");
    let over = "routes = [\"us\"]\nschedule = { at = \"2020-01-01 10:00\", until = \"2020-01-02 10:00\" }\n";
    check("true", over, "Hi", "3:47", "the run is over");
    let pool = format!("{HEAD}coupon.pool = \"gone\"\n");
    check("true", &pool, "Hi {{ coupon.code }}", "4:15", "there is no pool `gone`");
    let priced = std::fs::read_to_string(shop.path("winback.toml")).expect("written");
    std::fs::write(shop.path("winback.toml"), priced.replace("price = ", "#price = ")).expect("written");
    check("true", HEAD, "Hi", "2:11", "route `us` has no price for US");
}

#[test]
fn a_campaign_that_was_launched_may_be_over() {
    let shop = with_customers();
    campaign(&shop, "true", HEAD, "Hi");
    shop.good(&["launch", "c", "--yes"]);
    let priced = std::fs::read_to_string(shop.path("winback.toml")).expect("written");
    std::fs::write(shop.path("winback.toml"), priced.replace("price = ", "#price = ")).expect("written");
    shop.good(&["check", "c"]);
}

#[test]
fn an_account_that_cannot_work_is_found_without_sending_anything() {
    let shop = Shop::new();
    let good = std::fs::read_to_string(shop.path("winback.toml")).expect("written");
    let check = |from: &str, to: &str, problem: &str| {
        std::fs::write(shop.path("winback.toml"), good.replace(from, to)).expect("written");
        let said = shop.run(&["check"]);
        assert_eq!(said.code, Some(1), "{to}: {}", said.out);
        assert!(said.out.contains("--> winback.toml:") && said.out.contains(problem), "{to}: {}", said.out);
    };
    check("\"twilio\"", "\"twillio\"", "did you mean `twilio`?");
    check("secrets.auth_token", "secrets.auth_tokn", "did you mean `auth_token`?");
    check("{ env = \"TWILIO_AUTH_TOKEN\" }", "{ file = \"gone\" }", "gone cannot be read");
    check("[\"US\"]", "[\"XX\"]", "XX is no country");
}

#[test]
fn files_are_counted_and_named_as_people_count_and_name_them() {
    let shop = Shop::new();
    let said = |args: &[&str]| -> Said { shop.run(args) };
    let all = said(&["check"]);
    assert!(all.out.contains("2 files are right; 3 warnings"), "{}", all.out);
    assert!(
        all.out.contains("warning: the environment variable TWILIO_AUTH_TOKEN is not set here"),
        "{}",
        all.out
    );
    assert!(all.out.contains("warning: no event of kind 'order' is known"), "{}", all.out);
    std::fs::remove_file(shop.path("campaigns/national-day.toml")).expect("removed");
    let one = said(&["check"]);
    assert!(one.out.contains("1 file is right"), "{}", one.out);
    campaign(&shop, "true", HEAD, "Hi");
    for command in ["check", "plan"] {
        let gone = said(&[command, "d"]);
        let told = format!("{}{}", gone.out, gone.err);
        assert_eq!(gone.code, Some(2), "{told}");
        assert!(told.contains("there is no campaign `d`") && told.contains("did you mean `c`?"), "{told}");
        assert!(!told.contains("winback init"), "{told}");
    }
    std::fs::write(shop.path("winback.toml"), "[stroe]\n").expect("written");
    let broken = said(&["status"]);
    assert!(broken.err.starts_with("error: `stroe`"), "{}", broken.err);
}

#[test]
fn an_event_kind_that_nobody_has_seen_is_warned_of_and_a_slip_is_refused() {
    let shop = Shop::new();
    let early = shop.run(&["segment", "count", "count('order') = 0"]);
    assert_eq!(early.code, Some(0), "{}", early.err);
    assert!(early.err.contains("warning: no event of kind 'order' is known"), "{}", early.err);
    let shop = with_customers();
    for command in ["count", "explain", "preview"] {
        let slip = shop.run(&["segment", command, "count('ordr') = 0"]);
        assert_eq!(slip.code, Some(2), "{command}: {}", slip.out);
        assert!(slip.err.contains("did you mean 'order'?"), "{command}: {}", slip.err);
        let other = shop.run(&["segment", command, "count('visit') = 0"]);
        assert_eq!(other.code, Some(0), "{command}: {}", other.err);
        assert!(other.err.contains("known kinds: order"), "{command}: {}", other.err);
    }
    assert_eq!(shop.run(&["segment", "count", "count('order') = 1"]).err, "");
}

#[test]
fn a_plan_of_nobody_says_so_and_why() {
    let shop = Shop::new();
    let check = |segment: &str, told: &str| {
        campaign(&shop, segment, HEAD, "Hi");
        let plan = shop.run(&["plan", "c"]);
        assert_eq!(plan.code, Some(1), "{}", plan.out);
        assert!(plan.out.contains(told), "{}", plan.out);
        assert!(!plan.out.contains("(;") && !plan.out.contains("never"), "{}", plan.out);
    };
    check("true", "there are no contacts yet");
    std::fs::write(shop.path("list.csv"), "phone\n+12125550123\n").expect("written");
    shop.good(&["contact", "import", "list.csv"]);
    check("tagged('vip')", "nobody is in the segment");
    check("true", "everybody in the segment is left out");
}
