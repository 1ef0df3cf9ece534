//! `winback text`: how a text travels, what makes it dear, and a cheaper spelling.

use std::process::ExitCode;

use clap::Args;

use crate::text::report::{TextReport, report};

use super::{Context, WrongUse, lines, print};

/// Encoding, parts, costly characters and a cheaper spelling of one text.
#[derive(Debug, Args)]
pub(super) struct TextArgs {
    /// The text as it would arrive.
    #[arg(required_unless_present = "lines", conflicts_with = "lines", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read one JSON string a line from standard input, write one JSON object a line.
    #[arg(long)]
    lines: bool,
}

pub(super) fn run(context: &Context, args: &TextArgs) -> anyhow::Result<ExitCode> {
    if args.lines {
        return lines::answer(report);
    }
    let text = args.text.as_deref().ok_or_else(|| WrongUse("give a text, or --lines".to_owned()))?;
    let report = report(text);
    if context.json() {
        print::json(&report)?;
    } else {
        show(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(report: &TextReport) {
    let unit = match report.encoding {
        crate::model::encoding::Encoding::Gsm7 => "septets",
        crate::model::encoding::Encoding::Ucs2 => "units",
    };
    let plural = if report.parts == 1 { "" } else { "s" };
    let each: Vec<String> = report.per_part.iter().map(ToString::to_string).collect();
    let (encoding, units) = (report.encoding.as_str(), report.units);
    print::line(format!("{encoding}, {units} {unit}, {} part{plural} ({})", report.parts, each.join(" + ")));
    if report.parts_ref16 != report.parts {
        print::line(format!(
            "{} parts at a provider that joins parts with 16-bit references",
            report.parts_ref16
        ));
    }
    if report.cluster_split {
        print::line("a border falls inside one visible sign; old phones show it broken");
    }
    for costly in &report.costly {
        let why = match costly.why {
            crate::text::report::Why::ForcesUcs2 => "makes the whole text UCS-2",
            crate::text::report::Why::TwoSeptets => "costs two septets",
        };
        let instead = match costly.spelling {
            Some("") => "; it can go".to_owned(),
            Some(spelling) => format!("; write {spelling}"),
            None => String::new(),
        };
        let shown = if costly.char.is_control() { ' ' } else { costly.char };
        let (position, code_point) = (costly.position, &costly.code_point);
        print::line(format!("  character {position}: {shown} ({code_point}) {why}{instead}"));
    }
    if let Some(cheaper) = &report.cheaper {
        let (parts, units) = (cheaper.parts, cheaper.units);
        print::line(format!("cheaper, {parts} part(s) with {units} septets:"));
        print::line(format!("  {}", cheaper.text));
        if cheaper.folds_letters {
            print::line("  letters lose their accents; ask somebody who reads the language");
        }
    }
}
