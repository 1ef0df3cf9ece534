//! What marketers may rely on when they write a template.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn contact() -> Json {
    json!({
        "first_name": "Ana", "last_name": null, "customer_id": "c-7", "locale": "en-US", "stage": "sleeping",
        "attr": {"city": "Lyon", "shoe size": 42, "note": "", "points": 12.6, "tags": ["a"], "height": null},
        "coupon": {"code": "WB-1", "value": 20.0, "expires": "7 October"},
    })
}

fn render(source: &str, values: &Json) -> Result<String, RenderError> {
    Template::compile(source).expect(source).render(values)
}

#[test]
fn a_text_is_written_from_the_values_of_one_contact() {
    let check = |source: &str, expected: &str| {
        assert_eq!(render(source, &contact()).as_deref(), Ok(expected), "{source}");
    };
    check("No tag at all", "No tag at all");
    check("Hi {{- ' ' -}} you\r\n\n", "Hi you");
    check("Hi \n{{ first_name }}\n", "Hi \nAna");
    check("{{ first_name | default('Hi') }}, ${{ coupon.value }}: {{ coupon.code }}", "Ana, $20: WB-1");
    check("{{ last_name | default('friend') }}", "friend");
    check("{{ attr.note | default('none') }}{{ attr.street | d('!') }}{{ attr.height | d }}", "none!");
    check("{{ attr['shoe size'] }} {{ attr.points }} {{ attr.points | round | int }}", "42 12.6 13");
    check("{% if stage == 'sleeping' %}We miss you{% else %}Hi{% endif %}", "We miss you");
    check(
        "{% if attr.height %}tall{% elif attr.city is defined %}{{ attr.city | upper }}{% endif %}",
        "LYON",
    );
    check("{% if last_name is none %}anon{% endif %}", "anon");
    check("{{ coupon.value | replace('.', ',') }} {{ attr.points | replace('.', ',') }}", "20 12,6");
    check("{{ '{{' }} {# a note #}{{ first_name[0] }}.", "{{ A.");
    check("1 < 2 & \"3\" {{ '<b>' }}", "1 < 2 & \"3\" <b>");
}

#[test]
fn what_a_customer_is_called_is_never_a_template() {
    for name in ["{{ coupon.code }}", "{% if", "{# x", "{{ first_name }}", "<b>&"] {
        let text = render("Hi {{ first_name }}!", &json!({"first_name": name}));
        assert_eq!(text.unwrap(), format!("Hi {name}!"));
    }
}

#[test]
fn a_missing_value_stops_the_text_and_is_named() {
    let check = |source: &str, path: &str| {
        assert_eq!(render(source, &contact()), Err(RenderError::Missing(path.into())), "{source}");
    };
    check("Hi {{ last_name }}", "last_name");
    check("Hi {{ nick }}", "nick");
    check("Hi {{ attr.height }}", "attr.height");
    check("Hi {{ last_name | upper }}", "last_name");
    check("Hi {{ 'a' ~ attr.street }}", "attr.street");
    check("{{ attr.note | default(attr.street) }}", "attr.street");
    check("{% if stage == 'lost' %}{{ nick }}{% endif %}\n{{ attr.street }}", "attr.street");
    check("{{ gift.code }}", "gift.code");
    check("{{ 1 if attr.street == 'x' else 2 }}", "attr.street");
}

#[test]
fn values_that_do_not_fit_are_told_without_being_shown() {
    let check = |source: &str, line: usize| match render(source, &contact()) {
        Err(RenderError::Unfit { line: found, what }) => {
            assert_eq!(found, line, "{source}");
            assert!(!what.contains("Ana") && !what.contains("WB"), "{what}");
        }
        other => panic!("{source} gave {other:?}"),
    };
    check("{{ coupon }}", 1);
    check("a\n{{ attr.tags }}", 2);
    check("{{ first_name | round }}", 1);
    check("{{ coupon.code + 1 }}", 1);
}

#[test]
fn a_text_that_grows_too_long_is_refused_not_cut() {
    let name = |chars: usize| json!({"first_name": "é".repeat(chars)});
    assert_eq!(render("{{ first_name }}!", &name(MAX_CHARS - 1)).unwrap().chars().count(), MAX_CHARS);
    assert_eq!(render("{{ first_name }}!", &name(MAX_CHARS)), Err(RenderError::TooLong));
    assert_eq!(render(&"a".repeat(MAX_CHARS + 1), &json!({})), Err(RenderError::TooLong));
    assert!(matches!(
        render("{{ first_name | replace('é', first_name) }}", &name(200)),
        Err(RenderError::Unfit { .. })
    ));
}

#[test]
fn a_text_leaves_in_nfc_and_without_control_characters() {
    let check = |name: &str, expected: &str| {
        let values = json!({"first_name": name});
        assert_eq!(render("{{ first_name }}", &values).unwrap(), expected, "{name:?}");
    };
    check("Cafe\u{301}", "Café");
    check("a\r\nb\rc\u{85}d\u{0B}e\u{0C}f\ng", "a\nb\nc\nd\ne\nf\ng");
    check("a\tb\0c\u{1B}d\u{7F}", "a bcd");
    let fixed = render("Cafe\u{301}\r\nat nine", &json!({}));
    assert_eq!(fixed.unwrap(), "Café\nat nine");
}

#[test]
fn a_wrong_template_is_refused_with_its_place_and_a_way_out() {
    let check = |source: &str, line: usize, column: usize, says: &str| {
        let error = Template::compile(source).expect_err(source);
        assert_eq!((error.line, error.column), (line, column), "{source}: {error}");
        assert!(error.to_string().contains(says), "{source}: {error}");
    };
    check("Hi {{ link('https://x.example') }}", 1, 7, "there is no function `link`");
    check("{{ first_name.upper() }}", 1, 4, "there is no function `first_name.upper`");
    check("{% if 1 %}é{{ range(9) }}{% endif %}", 1, 15, "there is no function `range`");
    check("Hi\n  {{ first_name | shout }}", 2, 19, "there is no filter `shout`; use one of default,");
    check("{% if first_name is happy %}{% endif %}", 1, 21, "there is no test `happy`; use one of defined,");
    check("{% if a is not happy %}{% endif %}", 1, 16, "there is no test `happy`");
    check("a\nb {{ first_name", 2, 3, "this `{{` is never closed; end it with `}}`");
    check("{% include 'x' %}", 1, 1, "there is no tag `include`; a text has only `if`");
    check("{% for a in b %}{% endfor %}", 1, 1, "there is no tag `for`");
    check("{% set a = 1 %}", 1, 1, "there is no tag `set`");
    check("{% raw %}{% endraw %}", 1, 1, "there is no tag `raw`");
    check("{% if a %}{% if b %}{% endif %}", 1, 1, "this `if` is never closed; end it with {% endif %}");
    check("{% endif %}", 1, 1, "this `endif` belongs to no `if`; open one before it with {% if … %}");
    check("{{ a }}{{ }}", 1, 8, "look at this tag again");
    check("{{ a }} {{ a b }}", 1, 9, "look at this tag again");
    check("{{ a }}\n{% if %}{% endif %}", 2, 1, "look at this tag again");
    check("{% if a %}\n{% else %}{% else %}{% endif %}", 2, 1, "look at this tag again");
    check(&"a".repeat(MAX_SOURCE_CHARS + 1), 1, 1, "more than 4000 characters");
}

#[test]
fn the_audience_can_be_checked_against_the_variables() {
    let check = |source: &str, expected: &[(&str, bool)]| {
        let template = Template::compile(source).expect(source);
        let found: Vec<(&str, bool)> =
            template.variables().iter().map(|variable| (variable.path.as_str(), variable.optional)).collect();
        assert_eq!(found, expected, "{source}");
    };
    check("Hi", &[]);
    check(
        "{{ b }}{{ a | default('x') }}{{ coupon.code }}",
        &[("b", false), ("a", true), ("coupon.code", false)],
    );
    check("{{ a | default('x') }}{{ a }}", &[("a", false)]);
    check("{{ a | upper | default('x') }}", &[("a", false)]);
    check("{{ a | d(attr.city) }}", &[("a", true), ("attr.city", false)]);
    check("{% if attr.city is defined %}{{ attr.city }}{% endif %}", &[("attr.city", true)]);
    check("{% if a and not (b) %}{{ a }}{{ b }}{% endif %}", &[("a", true), ("b", true)]);
    check("{{ a if a else b }}{{ c if d }}", &[("a", true), ("b", false), ("c", false), ("d", true)]);
    check(
        "{% if stage == 'lost' %}{{ attr['shoe size'] }}{% endif %}",
        &[("stage", false), ("attr.shoe size", false)],
    );
    check("{{ a | round(precision=b) }}{{ 'c' }}{{ true }}", &[("a", false), ("b", false)]);
    let places = Template::compile("Hi\né {{ a }} {{ b }}{{ a }}").unwrap();
    let places: Vec<_> = places.variables().iter().map(|variable| (variable.line, variable.column)).collect();
    assert_eq!(places, [(2, 6), (2, 14)]);
    check("{{ first_name[0] }}{{ a[b].c }}", &[("first_name", false), ("a", false), ("b", false)]);
}

#[test]
fn the_variables_agree_with_what_the_engine_finds() {
    for source in [
        "{{ a }}{{ b.c.d | default('x') }}{% if e is not defined and f %}{{ g }}{% else %}{{ 'h' ~ i }}{% endif %}",
        "{{ a if b.c else d }}{{ e | round(precision=f) }}{{ (g.h) }}{{ [i, {'j': k}] | length }}",
        "{{ not a }}{{ b in c }}{{ d == 1 and e != none or f }}{{ g[0] }}{{ 1.5 * h }}",
    ] {
        let template = Template::compile(source).expect(source);
        let mut ours: Vec<&str> =
            template.variables().iter().map(|variable| variable.path.as_str()).collect();
        ours.sort_unstable();
        let engine = template.0.engine.get_template(NAME).unwrap().undeclared_variables(true);
        let mut theirs: Vec<&str> = engine.iter().map(String::as_str).collect();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{source}");
    }
}

#[test]
fn the_engine_has_every_word_that_an_error_offers() {
    for filter in vocabulary::FILTERS {
        let rendered = render(&format!("{{{{ a | {filter} }}}}"), &json!({"a": "7"}));
        let known = !matches!(&rendered, Err(RenderError::Unfit { what, .. }) if what.contains("unknown"));
        assert!(known, "{filter}: {rendered:?}");
    }
    for test in vocabulary::TESTS {
        let rendered = render(&format!("{{{{ 1 if a is {test} else 2 }}}}"), &json!({"a": 7}));
        let known = !matches!(&rendered, Err(RenderError::Unfit { what, .. }) if what.contains("unknown"));
        assert!(known, "{test}: {rendered:?}");
    }
}

#[test]
fn the_short_way_and_the_engine_write_the_same() {
    let names = ["Ana", "", " ", "{{ x }}", "Cafe\u{301}", &"é".repeat(MAX_CHARS)];
    let values = names.iter().map(|name| json!({"first_name": name})).chain([
        contact(),
        json!({}),
        json!({"attr": null, "coupon": {"value": -0.5}}),
        json!({"coupon": {"value": true, "code": 7}, "attr": {"city": ["Lyon"], "shoe size": 1e21}}),
    ]);
    for values in values {
        for source in [
            "Hi {{ first_name }}!",
            "{{first_name|d('you')}} {{ last_name | default(\"x\") }}",
            "a\n{{ attr.city }}",
            "{{ attr['shoe size'] | d('{{') }}{{ coupon.value | d('') }}",
            "{{ attr.city.name | d('') }}{{ coupon.code }}",
            "no tag",
        ] {
            let template = Template::compile(source).unwrap();
            let direct =
                template.0.pieces.as_ref().expect(source).write(source, &Value::from(Serde(&values)));
            let engine = template.0.evaluate(Value::from(Serde(&values)));
            assert_eq!(direct, engine, "{source} with {values}");
        }
    }
}

#[test]
fn threads_share_one_template() {
    let template = Template::compile("{{ first_name }}").unwrap();
    std::thread::scope(|scope| {
        for name in ["Ana", "Bo"] {
            let template = template.clone();
            scope.spawn(move || assert_eq!(template.render(&json!({"first_name": name})).unwrap(), name));
        }
    });
}

proptest! {
    #[test]
    fn any_source_is_compiled_or_refused_and_renders_or_fails(
        source in r#"([ a-zé\n.|='"(\[\])}%#-]|\{\{|\}\}|\{%|%\}|\{#|#\}| if | endif | else |first_name|default\('x'\)){0,24}"#,
        name in any::<String>(),
    ) {
        if let Ok(template) = Template::compile(&source) {
            let text = template.render(&json!({"first_name": name}));
            prop_assert!(text.is_err() || text.unwrap().chars().count() <= MAX_CHARS);
        }
    }

    #[test]
    fn a_name_arrives_as_it_is(name in "[ -~é中😀]{0,40}") {
        for source in ["<{{ first_name }}>", "{% if true %}<{{ first_name }}>{% endif %}"] {
            prop_assert_eq!(render(source, &json!({"first_name": name})).unwrap(), format!("<{name}>"));
        }
    }
}
