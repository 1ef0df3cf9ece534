//! The keywords of each language, as data.
//!
//! English, and French ARRET, AIDE and CONTACT, Portuguese SAIR, PARE and AJUDA, and Chinese TD follow what operators
//! and providers publish; the other rows are common usage. Accents, case and inner signs do not matter:
//! [`super::normal`] treats both sides alike. One-letter keywords are no part of this table: routes announce them.

/// Keywords of one language.
pub(super) struct Language {
    pub(super) stop: &'static [&'static str],
    pub(super) start: &'static [&'static str],
    pub(super) help: &'static [&'static str],
}

const fn language(
    stop: &'static [&'static str],
    start: &'static [&'static str],
    help: &'static [&'static str],
) -> Language {
    Language { stop, start, help }
}

#[rustfmt::skip]
pub(super) const LANGUAGES: &[Language] = &[
    // English
    language(
        &["STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "OPT OUT", "REMOVE"],
        &["START", "UNSTOP", "YES", "SUBSCRIBE"],
        &["HELP", "INFO"],
    ),
    // French
    language(
        &["ARRET", "ARRETE", "ARRETER", "DESABONNER", "DESINSCRIRE"],
        &["DEBUT", "REPRENDRE"],
        &["AIDE", "CONTACT"],
    ),
    // Spanish
    language(&["BAJA", "ALTO", "PARAR", "CANCELAR", "DETENER"], &["ALTA", "INICIAR", "EMPEZAR"], &["AYUDA"]),
    // Portuguese
    language(&["SAIR", "PARE", "PARAR", "CANCELAR", "REMOVER"], &["VOLTAR", "INICIAR", "SIM"], &["AJUDA"]),
    // German
    language(&["STOPP", "ABMELDEN", "ABBESTELLEN", "ENDE"], &["ANMELDEN"], &["HILFE"]),
    // Italian
    language(&["BASTA", "CANCELLA", "FERMA", "DISISCRIVI"], &["INIZIA", "ISCRIVI"], &["AIUTO"]),
    // Dutch
    language(&["STOPPEN", "AFMELDEN", "UIT"], &["AANMELDEN", "AAN"], &["HULP"]),
    // Swedish
    language(&["AVSLUTA", "AVREGISTRERA"], &[], &["HJALP"]),
    // Danish, Norwegian
    language(&["AFMELD", "AVMELD"], &[], &["HJAELP", "HJELP"]),
    // Finnish
    language(&["LOPETA", "PERU", "POISTA"], &["ALOITA"], &["OHJE", "APUA"]),
    // Polish
    language(&["REZYGNUJE", "WYPISZ", "KONIEC"], &[], &["POMOC"]),
    // Czech, Slovak
    language(&["ODHLASIT", "KONEC", "KONIEC"], &[], &["POMOC"]),
    // Hungarian
    language(&["LEIRATKOZAS"], &[], &["SEGITSEG"]),
    // Romanian
    language(&["DEZABONARE"], &[], &["AJUTOR"]),
    // Greek
    language(&["ΣΤΟΠ", "ΔΙΑΓΡΑΦΗ"], &["ΕΝΑΡΞΗ"], &["ΒΟΗΘΕΙΑ"]),
    // Turkish
    language(&["RET", "IPTAL", "DUR"], &["BASLA", "ONAY"], &["YARDIM"]),
    // Russian, Bulgarian
    language(&["СТОП", "ОТПИСКА", "ОТПИСАТЬСЯ", "ОТКАЗ"], &["СТАРТ"], &["ПОМОЩЬ", "ИНФО"]),
    // Ukrainian
    language(&["ВІДПИСКА"], &[], &["ДОПОМОГА"]),
    // Arabic
    language(&["إيقاف", "توقف", "إلغاء", "قف"], &["ابدأ", "اشتراك"], &["مساعدة"]),
    // Hebrew
    language(&["הסר", "עצור"], &["הצטרף", "התחל"], &["עזרה"]),
    // Hindi
    language(&["बंद", "रोकें"], &["शुरू"], &["मदद"]),
    // Indonesian, Malay
    language(&["BERHENTI", "BATAL"], &["MULA", "MULAI", "YA"], &["BANTUAN"]),
    // Vietnamese
    language(&["TC", "TUCHOI", "TU CHOI", "HUY"], &["DK", "DONGY", "DONG Y"], &["TROGIUP", "TRO GIUP"]),
    // Thai
    language(&["หยุด", "ยกเลิก"], &["เริ่ม"], &["ช่วยเหลือ"]),
    // Filipino
    language(&["HINTO"], &["SIMULA"], &["TULONG"]),
    // Chinese, in simplified and traditional writing
    language(
        &["退订", "TD", "停止", "取消", "拒收", "退訂"],
        &["订阅", "恢复", "訂閱", "恢復"],
        &["帮助", "幫助"],
    ),
    // Japanese
    language(&["停止", "配信停止", "解除", "ストップ"], &["開始", "再開"], &["ヘルプ"]),
    // Korean
    language(&["수신거부", "거부", "중지"], &["수신동의", "시작"], &["도움말"]),
];

/// Words before a keyword that carry no meaning of their own.
pub(super) const FILLERS: &[&str] = &[
    "please",
    "pls",
    "plz",
    "hi",
    "hello",
    "hey",
    "ok",
    "okay",
    "just",
    "now",
    "thanks",
    "sms",
    "reply",
    "i",
    "want",
    "to",
    "merci",
    "de",
    "svp",
    "bonjour",
    "por",
    "favor",
    "hola",
    "bitte",
    "hallo",
    "per",
    "favore",
    "ciao",
    "alsjeblieft",
    "prosze",
    "lutfen",
    "пожалуйста",
    "请",
    "請",
    "我要",
    "麻烦",
    "麻煩",
];

/// Phrases of refusal, wherever they stand in a text.
pub(super) const REFUSALS: &[&str] = &[
    "leave me alone",
    "do not text",
    "don't text",
    "stop texting",
    "stop messaging",
    "stop sending",
    "do not contact",
    "don't contact",
    "do not message",
    "don't message",
    "no more texts",
    "no more messages",
    "no more sms",
    "remove me",
    "take me off",
    "unsubscribe me",
    "opt me out",
    "wrong number",
    "wrong person",
    "not interested",
    "lose my number",
    "go away",
    "go to hell",
    "fuck off",
    "fuck you",
    "piss off",
    "screw you",
    "laisse moi tranquille",
    "laissez moi tranquille",
    "ne m'écrivez plus",
    "mauvais numéro",
    "faux numéro",
    "no me escriba",
    "no me escriban",
    "no me escribas",
    "déjame en paz",
    "déjenme en paz",
    "número equivocado",
    "me deixe em paz",
    "número errado",
    "lass mich in ruhe",
    "lassen sie mich in ruhe",
    "keine sms mehr",
    "falsche nummer",
    "lasciami in pace",
    "lasciatemi in pace",
    "numero sbagliato",
    "verkeerd nummer",
    "не пишите мне",
    "оставьте меня в покое",
    "ошиблись номером",
    "yanlış numara",
    "别再发",
    "别发了",
    "不要再发",
    "不要发了",
    "不要再發",
    "滚蛋",
];

/// Words that turn a phrase of refusal into its opposite.
pub(super) const NEGATIONS: &[&str] = &["not", "don't", "didn't", "never"];
