//! What a customer may write, and how it must be read.

use proptest::prelude::*;

use super::*;

const STOP: Keyword = Keyword::Stop { inferred: false };
const INFERRED: Keyword = Keyword::Stop { inferred: true };

fn check(expected: Keyword, texts: &[&str]) {
    for text in texts {
        assert_eq!(classify(text, &[]), expected, "{text:?} is {:?}", words(text));
    }
}

#[test]
fn a_keyword_is_understood_however_it_is_written() {
    check(
        STOP,
        &[
            "STOP",
            "stop",
            "Stop.",
            " stop ",
            "stop!!! 🛑",
            "“STOP”",
            "🛑 stop",
            "ＳＴＯＰ",
            "s\u{AD}top",
            "STOP\n",
            "(stop)",
            "opt-out",
            "Opt Out",
            "optout",
            "STOP ALL",
            "stop-all",
            "quit",
            "unsubscribe",
            "ARRÊT",
            "arrêt",
            "ARRE\u{302}T",
            "désabonner",
            "baja",
            "BAJA!",
            "İptal",
            "iptal",
            "IPTAL",
            "ıptal",
            "Sair",
            "στοπ",
            "Διαγραφή",
            "стоп",
            "СТОП!",
            "ВІДПИСКА",
            "відписка",
            "الغاء",
            "إلغاء",
            "הסר",
            "बंद",
            "Từ chối",
            "HỦY",
            "หยุด",
            "退订",
            "退訂",
            "【退订】",
            "TD",
            "td。",
            "S.T.O.P.",
            "s t o p",
            "退 订",
            "取消",
            "ストップ",
            "ｽﾄｯﾌﾟ",
            "수신거부",
            "REZYGNUJĘ",
            "odhlásit",
        ],
    );
    check(
        Keyword::Start,
        &["START", "start!", "Yes", "yes 👍", "unstop", "Başla", "订阅", "Đồng ý", "INICIAR"],
    );
    check(Keyword::Help, &["HELP", "help?", "Info", "AIDE", "HJÄLP", "hjælp", "帮助", "помощь", "도움말"]);
}

#[test]
fn a_short_text_that_opens_with_stop_is_a_stop() {
    check(
        STOP,
        &[
            "please stop",
            "stop please",
            "STOP 36111",
            "Stop texting me",
            "hi please stop texting me",
            "stop stop stop",
            "STOP it now!!",
            "please unsubscribe",
            "svp arrêter",
            "BAJA por favor",
            "por favor baja",
            "cancel my coupons",
            "请退订",
            "退订谢谢",
            "我要退订",
            "配信停止お願い",
            "수신거부합니다",
            "opt out please",
        ],
    );
}

#[test]
fn a_phrase_of_refusal_is_an_inferred_stop() {
    check(
        INFERRED,
        &[
            "leave me alone",
            "Do not text me again",
            "don't text me!",
            "don’t text me!",
            "please remove me from your list",
            "Sorry, this is the wrong number",
            "You have the WRONG NUMBER.",
            "fuck off",
            "Go to hell",
            "No, stop texting me",
            "I already told you twice: stop sending this",
            "Déjame en paz",
            "Lass mich in Ruhe!",
            "请不要再发了",
            "Ne m’écrivez plus",
        ],
    );
}

#[test]
fn stop_inside_a_longer_text_goes_to_a_person() {
    check(
        Keyword::Review,
        &[
            "bus stop",
            "don't stop texting me",
            "Don’t stop!",
            "please do not remove me from your list",
            "When does the sale end for members?",
            "I was at the shop and could not stop smiling at your offer",
            "stop by our place on Sunday afternoon friends",
            "不要取消我的订单，我明天下午会去你们店里拿",
            "help me stop this",
        ],
    );
}

#[test]
fn everything_else_means_nothing_special() {
    check(
        Keyword::Other,
        &[
            "",
            "   ",
            "🎉",
            "...",
            "thanks",
            "help me please",
            "can you help",
            "yes please",
            "I said yes",
            "start over",
            "nonstop",
            "stopping by",
            "the weekend",
            "T",
            "R",
            "N",
            "T.",
            "您好",
            "谢谢",
            "a stopwatch",
        ],
    );
}

#[test]
fn a_single_letter_stops_only_where_the_route_announces_it() {
    let announced = |text: &str, letters: &[char], expected: Keyword| {
        assert_eq!(classify(text, letters), expected, "{text:?} with {letters:?}");
    };
    for text in ["T", "t", "t.", " Ｔ ", "“T”"] {
        announced(text, &['T'], STOP);
        announced(text, &['R', 't'], STOP);
        announced(text, &['R'], Keyword::Other);
    }
    announced("T shirt", &['T'], Keyword::Other);
    announced("", &['T', '.'], Keyword::Other);
}

#[test]
fn no_word_belongs_to_two_classes() {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for language in table::LANGUAGES {
        for (class, texts) in [("stop", language.stop), ("start", language.start), ("help", language.help)] {
            for text in texts {
                let normal = words(text).join(" ");
                assert!(normal.chars().count() > 1, "{text} is too short for every route");
                assert_eq!(*seen.entry(normal).or_insert(class), class, "{text}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_can_be_read(text in any::<String>(), letters in prop::collection::vec(any::<char>(), 0..3)) {
        classify(&text, &letters);
    }

    #[test]
    fn case_and_wrapping_never_hide_a_stop(at in 0..LISTED.len(), upper: bool, before in "[ .\"“(!🛑]{0,3}", after in "[ .\"”)!?🛑]{0,3}") {
        let keyword = if upper { LISTED[at].to_uppercase() } else { LISTED[at].to_lowercase() };
        prop_assert_eq!(classify(&format!("{before}{keyword}{after}"), &[]), STOP);
    }
}

static LISTED: LazyLock<Vec<&str>> =
    LazyLock::new(|| table::LANGUAGES.iter().flat_map(|language| language.stop).copied().collect());
