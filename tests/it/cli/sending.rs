//! Single texts through the simulator: what `provider try` and `test` send, and what they leave alone.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::{Said, Shop};

const CAMPAIGN: &str = "segment = \"true\"\nroutes = [\"us\"]\nschedule = { at = \"now\" }\n[coupon]\npool = \"winter\"\n\
    [text]\nen = \"Hi {{ first_name }}, {{ coupon.code }} is worth {{ coupon.value }}. STOP to opt out\"\n";

/// A simulator that ends with the test.
struct Simulator(Child);

impl Simulator {
    /// Starts one in the shop's folder; answers it with its address.
    fn start(shop: &Shop) -> (Self, String) {
        let mut command = shop.command(&["simulator", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        (Self(child), address)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn shop_with_route(address: &str, shop: &Shop) {
    let file = shop.path("winback.toml");
    let text = std::fs::read_to_string(&file).expect("written");
    let route = format!("provider = \"simulator\"\nsettings.base_url = \"http://{address}\"");
    std::fs::write(&file, text.replacen("provider = \"simulator\"", &route, 1)).expect("written");
    std::fs::write(shop.path("campaigns/winter.toml"), CAMPAIGN).expect("written");
}

fn send(shop: &Shop, args: &[&str]) -> Said {
    let mut command = shop.command(args);
    command.env("SIMULATOR_API_KEY", "simulator").env("SIMULATOR_SIGNING_KEY", "simulator-signing");
    Said::of(&command.output().expect("runs"))
}

#[test]
fn a_test_text_arrives_with_a_code_from_no_pool() {
    let shop = Shop::empty();
    shop.good(&["init", "--provider", "simulator", "--price", "0.01"]);
    let (_simulator, address) = Simulator::start(&shop);
    shop_with_route(&address, &shop);
    shop.good(&["coupon", "create", "winter", "--value", "5"]);
    shop.good(&["coupon", "generate", "winter", "3"]);

    let tried = send(&shop, &["provider", "try", "us", "--to", "+12125550123", "--text", "Hello", "--json"]);
    assert_eq!(tried.code, Some(0), "{}{}", tried.out, tried.err);
    let told: Value = serde_json::from_str(&tried.out).expect("JSON");
    assert_eq!((&told["outcome"], &told["http"]), (&"accepted".into(), &202.into()), "{told}");

    let tested = send(&shop, &["test", "winter", "--to", "+12125550123"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
    assert!(tested.out.starts_with("TEST of winter"), "{}", tested.out);
    assert!(tested.out.contains("Hi Sam, TESTCODE is worth 5."), "{}", tested.out);
    assert_eq!(shop.json(&["coupon", "list"])[0]["counts"]["available"], 3);
    assert_eq!(shop.json(&["status"]), Value::Array(Vec::new()), "a test is no run");

    shop.good(&["optout", "add", "+12125550123"]);
    let refused = send(&shop, &["test", "winter", "--to", "+12125550123"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(refused.err.contains("suppressed"), "{}", refused.err);
    let ledger = std::fs::read_to_string(shop.path("simulator-ledger.jsonl")).expect("written");
    assert_eq!(ledger.lines().count(), 2, "{ledger}");
}

#[test]
fn a_text_that_was_refused_is_not_called_sent() {
    let shop = Shop::empty();
    shop.good(&["init", "--provider", "simulator", "--price", "0.01"]);
    let (_simulator, address) = Simulator::start(&shop);
    shop_with_route(&address, &shop);
    let mut command =
        shop.command(&["provider", "try", "us", "--to", "+12125550123", "--text", "Hello", "--json"]);
    command.env("SIMULATOR_API_KEY", "wrong").env("SIMULATOR_SIGNING_KEY", "simulator-signing");
    let refused = Said::of(&command.output().expect("runs"));
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    let told: Value = serde_json::from_str(&refused.out).expect("JSON");
    assert_eq!((&told["sent"], &told["outcome"]), (&false.into(), &"account".into()), "{told}");
}
