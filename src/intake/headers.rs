//! Which column of a file means what: by name in several languages, or as the user says with `--map`.
//!
//! Never guesses between two columns, and never repeats a header that looks like data.

use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::table::Row;

/// Longest name of an attribute or property, in characters.
const MAX_NAME: usize = 64;
/// Columns named in an error, at most.
const MAX_LISTED: usize = 30;
/// Columns that [`super::rejects`] adds; skipped, so that a mended file can be read again as it is.
const OWN_COLUMNS: [&str; 3] = super::rejects::COLUMNS;

/// The columns a kind of file knows.
pub trait Field: Copy + PartialEq + std::fmt::Debug + Sized + 'static {
    /// Every field.
    const ALL: &'static [Self];
    /// What other columns become: the prefix of their names, such as `attr.`; `None` if they are not imported.
    const EXTRA: Option<&'static str>;

    /// The field as written in `--map`.
    fn word(self) -> &'static str;

    /// Other names for it, [folded](fold), with a space between two.
    fn synonyms(self) -> &'static str;
}

/// What the user says about columns: `field=Column,…`. Names of columns are compared folded; a comma in one is left out.
///
/// `field` is a known field, `attr.NAME` (of events `prop.NAME`) to name an extra column, or `ignore` to leave one out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping(Vec<(String, String)>);

impl Mapping {
    /// Adds what another `--map` says.
    #[must_use]
    pub fn and(mut self, other: Mapping) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl FromStr for Mapping {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let pair = |part: &str| {
            let (field, column) = part.split_once('=').ok_or(HeaderError::MapForm)?;
            let (field, column) = (field.trim().to_owned(), column.trim().to_owned());
            if field.is_empty() || column.is_empty() {
                Err(HeaderError::MapForm)
            } else {
                Ok((field, column))
            }
        };
        text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect::<Result<_, _>>().map(Self)
    }
}

/// Why the columns of a file cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// `--map` is not `field=column`.
    #[error(
        "`--map` takes field=Column pairs with commas between them, like phone=Mobile,first_name=Vorname"
    )]
    MapForm,
    /// `--map` names a field there is not.
    #[error("`--map {field}=…`: there is no such field; there are {fields}")]
    UnknownField {
        /// What was asked for.
        field: String,
        /// What there is.
        fields: String,
    },
    /// `--map` names a column the file does not have.
    #[error("`--map {field}=…`: the file has no such column; it has {columns}")]
    UnknownColumn {
        /// The field.
        field: String,
        /// The columns of the file.
        columns: String,
    },
    /// `--map` uses one field or one column twice.
    #[error("`--map` uses {what} twice")]
    MappedTwice {
        /// The field or column.
        what: String,
    },
    /// Two columns mean the same.
    #[error("columns {first} and {second} both mean `{field}`; choose with --map {field}=…")]
    TwoColumns {
        /// What they mean.
        field: String,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// Two columns would become one attribute or property.
    #[error(
        "columns {first} and {second} would both become `{name}`; rename one with --map {name}_2=…, or --map ignore=…"
    )]
    SameName {
        /// The attribute or property.
        name: String,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// A column whose name has no letter or digit.
    #[error("column {column} cannot become a name; give it one with --map {prefix}NAME=…, or --map ignore=…")]
    NoName {
        /// The column.
        column: String,
        /// `attr.` or `prop.`.
        prefix: &'static str,
    },
    /// A field without which the file is of no use.
    #[error("no column is `{field}`; the file has {columns}; say which one it is with --map {field}=…")]
    Missing {
        /// The field.
        field: String,
        /// The columns of the file.
        columns: String,
    },
    /// The first line is not a header.
    #[error("the first line looks like data; add a line above it that names the columns")]
    NoHeader,
    /// `value` may be the code or what it is worth.
    #[error(
        "column `value` may be the code or what it is worth; say --map code=value, or name the column of the codes"
    )]
    CodeOrValue,
}

/// The meaning of each column of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<F> {
    known: Vec<(F, usize)>,
    extras: Vec<(String, usize)>,
    ignored: Vec<usize>,
}

impl<F: Field> Columns<F> {
    /// Finds the meaning of each column. What the user says wins over what the names suggest; a column without a name
    /// is not imported.
    ///
    /// # Errors
    /// When the mapping does not fit the file, or two columns would mean the same.
    pub fn find(headers: &[String], mapping: &Mapping) -> Result<Self, HeaderError> {
        if headers.iter().any(|header| looks_like_number(header)) {
            return Err(HeaderError::NoHeader);
        }
        let mut columns = Self { known: Vec::new(), extras: Vec::new(), ignored: Vec::new() };
        columns.obey(headers, mapping)?;
        let told = columns.known.len();
        for at in (0..headers.len()).filter(|at| !columns.is_used(*at)).collect::<Vec<_>>() {
            let folded = fold(&headers[at]);
            let meant = F::ALL.iter().find(|field| is_name_of(**field, &folded));
            match meant.and_then(|field| columns.known.iter().position(|(known, _)| known == field)) {
                // The user chose another column for this field: this one is a column like any other.
                Some(which) if which < told => columns.extra(headers, at)?,
                Some(which) => return Err(two_columns(columns.known[which], headers, at)),
                None => match meant {
                    Some(field) => columns.known.push((*field, at)),
                    None => columns.extra(headers, at)?,
                },
            }
        }
        columns.extras.sort();
        Ok(columns)
    }

    /// The column of a field.
    pub fn get(&self, field: F) -> Option<usize> {
        self.known.iter().find(|(known, _)| *known == field).map(|(_, at)| *at)
    }

    /// The column of a field that must be there.
    ///
    /// # Errors
    /// With the file's columns and the way out, when it is not.
    pub fn require(&self, field: F, headers: &[String]) -> Result<usize, HeaderError> {
        let missing = || HeaderError::Missing { field: field.word().to_owned(), columns: listed(headers) };
        self.get(field).ok_or_else(missing)
    }

    /// The first field that a line break runs through, those at its ends aside. None of these fields has lines: a stray
    /// quote has swallowed some.
    pub(super) fn broken(&self, row: &Row) -> Option<F> {
        if !row.has_line_break() {
            return None;
        }
        self.known.iter().find(|(_, at)| row.get(*at).trim().contains('\n')).map(|(field, _)| *field)
    }

    /// The columns that become attributes or properties, by name: the name without its prefix, and the column.
    pub fn extras(&self) -> &[(String, usize)] {
        &self.extras
    }

    /// The columns that are not imported.
    pub fn ignored(&self) -> &[usize] {
        &self.ignored
    }

    fn is_used(&self, at: usize) -> bool {
        self.known.iter().any(|(_, used)| *used == at)
            || self.extras.iter().any(|(_, used)| *used == at)
            || self.ignored.contains(&at)
    }

    fn obey(&mut self, headers: &[String], mapping: &Mapping) -> Result<(), HeaderError> {
        for (word, column) in &mapping.0 {
            let wanted = fold(column);
            let exact = headers.iter().position(|header| header == column);
            let Some(at) = exact.or_else(|| headers.iter().position(|header| fold(header) == wanted)) else {
                return Err(HeaderError::UnknownColumn { field: word.clone(), columns: listed(headers) });
            };
            if self.is_used(at) {
                return Err(HeaderError::MappedTwice { what: shown(headers, at) });
            }
            self.put(word, at)?;
        }
        Ok(())
    }

    fn put(&mut self, word: &str, at: usize) -> Result<(), HeaderError> {
        let twice = || HeaderError::MappedTwice { what: format!("`{word}`") };
        if word == "ignore" {
            self.ignored.push(at);
            return Ok(());
        }
        if let Some(name) = F::EXTRA.and_then(|prefix| word.strip_prefix(prefix)).and_then(identifier) {
            let taken = self.extras.iter().any(|(extra, _)| *extra == name);
            self.extras.push((name, at));
            return if taken { Err(twice()) } else { Ok(()) };
        }
        let Some(field) = F::ALL.iter().find(|field| field.word() == word) else {
            return Err(HeaderError::UnknownField { field: word.to_owned(), fields: field_words::<F>() });
        };
        if self.get(*field).is_some() {
            return Err(twice());
        }
        self.known.push((*field, at));
        Ok(())
    }

    fn extra(&mut self, headers: &[String], at: usize) -> Result<(), HeaderError> {
        let header = &headers[at];
        let Some(prefix) = F::EXTRA.filter(|_| !header.is_empty() && !OWN_COLUMNS.contains(&header.as_str()))
        else {
            self.ignored.push(at);
            return Ok(());
        };
        let name =
            identifier(header).ok_or_else(|| HeaderError::NoName { column: shown(headers, at), prefix })?;
        if let Some((_, other)) = self.extras.iter().find(|(extra, _)| *extra == name) {
            let (first, second) = (shown(headers, *other), shown(headers, at));
            return Err(HeaderError::SameName { name: format!("{prefix}{name}"), first, second });
        }
        self.extras.push((name, at));
        Ok(())
    }
}

/// A header without case, accents, spaces and signs: `Customer No.` and `customer_no` are the same.
pub fn fold(header: &str) -> String {
    let plain = header.nfkd().filter(|c| !is_combining_mark(*c) && c.is_alphanumeric());
    plain.flat_map(char::to_lowercase).collect()
}

/// A header as a name for segments and templates: ASCII letters, digits and single underscores, not beginning with a
/// digit. `None` if nothing is left.
fn identifier(header: &str) -> Option<String> {
    let ascii = deunicode::deunicode(header).to_ascii_lowercase();
    let words: Vec<&str> =
        ascii.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut name = words.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name.truncate(MAX_NAME);
    (!name.is_empty()).then_some(name)
}

fn is_name_of<F: Field>(field: F, folded: &str) -> bool {
    fold(field.word()) == folded || field.synonyms().split(' ').any(|name| name == folded)
}

fn two_columns<F: Field>((field, first): (F, usize), headers: &[String], second: usize) -> HeaderError {
    let (first, second) = (shown(headers, first), shown(headers, second));
    HeaderError::TwoColumns { field: field.word().to_owned(), first, second }
}

fn field_words<F: Field>() -> String {
    let mut words: Vec<String> = F::ALL.iter().map(|field| format!("`{}`", field.word())).collect();
    words.extend(F::EXTRA.map(|prefix| format!("`{prefix}NAME`")));
    words.push("`ignore`".to_owned());
    words.join(", ")
}

fn listed(headers: &[String]) -> String {
    let mut names: Vec<String> = (0..headers.len().min(MAX_LISTED)).map(|at| shown(headers, at)).collect();
    if headers.len() > MAX_LISTED {
        names.push(format!("{} more", headers.len() - MAX_LISTED));
    }
    names.join(", ")
}

/// A header as errors show it. One with several digits may be a code or a number of a file without a header,
/// and is told by its place.
fn shown(headers: &[String], at: usize) -> String {
    let header = &headers[at];
    if header.is_empty() || header.chars().filter(char::is_ascii_digit).count() > 2 {
        return format!("no. {}", at + 1);
    }
    format!("`{}`", header.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect::<String>())
}

/// Seven digits or more and no letter: a phone number where a name should be.
fn looks_like_number(header: &str) -> bool {
    header.chars().filter(char::is_ascii_digit).count() >= 7 && !header.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Toy {
        Phone,
        FirstName,
    }

    impl Field for Toy {
        const ALL: &'static [Self] = &[Self::Phone, Self::FirstName];
        const EXTRA: Option<&'static str> = Some("attr.");

        fn word(self) -> &'static str {
            if self == Self::Phone { "phone" } else { "first_name" }
        }

        fn synonyms(self) -> &'static str {
            if self == Self::Phone { "mobile telefono" } else { "vorname" }
        }
    }

    fn find(headers: &str, mapping: &str) -> Result<String, HeaderError> {
        let headers: Vec<String> = headers.split(';').map(str::to_owned).collect();
        let columns = Columns::<Toy>::find(&headers, &mapping.parse()?)?;
        let mut shown: Vec<String> =
            columns.known.iter().map(|(f, at)| format!("{}={at}", f.word())).collect();
        shown.extend(columns.extras().iter().map(|(name, at)| format!("attr.{name}={at}")));
        shown.extend(columns.ignored().iter().map(|at| format!("-{at}")));
        columns.require(Toy::Phone, &headers)?;
        Ok(shown.join(" "))
    }

    #[test]
    fn columns_are_found_by_name_and_by_map() {
        let check = |headers: &str, mapping: &str, expected: &str| {
            assert_eq!(find(headers, mapping).as_deref(), Ok(expected), "{headers} {mapping}");
        };
        check("PHONE;Vor-Name", "", "phone=0 first_name=1");
        check("Teléfono;Größe in cm;2024", "", "phone=0 attr._2024=2 attr.grosse_in_cm=1");
        check("Tel;Mobile", "phone=tel", "phone=0 attr.mobile=1");
        check("Phone;Notes;%", "ignore=Notes, attr.share=%", "phone=0 attr.share=2 -1");
        check("Phone;手机;", "", "phone=0 attr.shou_ji=1 -2");
        check("rejected_line;rejected_reason;rejected_why;phone", "", "phone=3 -0 -1 -2");
    }

    #[test]
    fn columns_that_cannot_be_told_apart_are_named_with_the_way_out() {
        let check = |headers: &str, mapping: &str, words: &[&str]| {
            let error = find(headers, mapping).expect_err(headers).to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        check("phone;Mobile", "", &["`phone` and `Mobile`", "--map phone="]);
        check("name;phone;Shoe Size;shoe-size", "", &["`Shoe Size` and `shoe-size`", "attr.shoe_size"]);
        check("name;Handy Number", "", &["no column is `phone`", "`name`, `Handy Number`", "--map phone="]);
        check("name;phone;%", "", &["`%`", "--map attr.NAME="]);
        check("name;phone", "fone=name", &["fone", "`phone`, `first_name`, `attr.NAME`, `ignore`"]);
        check("name;phone", "phone=tel", &["no such column", "`name`, `phone`"]);
        check("name;phone", "phone=phone,phone=name", &["`phone` twice"]);
        check("name;phone", "phone=phone,ignore=phone", &["`phone` twice"]);
        check("name;phone", "attr.a=phone,attr.a=name", &["`attr.a` twice"]);
        check("name;phone", "phone", &["field=Column"]);
        check("+1 480 555 0126;Bea", "", &["looks like data"]);
    }

    #[test]
    fn a_file_without_a_header_does_not_print_its_data() {
        let error = find("SAVE7KM920;name", "").expect_err("no phone").to_string();
        assert!(!error.contains("7KM9") && error.contains("no. 1"), "{error}");
    }
}
