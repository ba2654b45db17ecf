//! A typed walk over one TOML table: every key asked for is known, every other one is a fault with a suggestion.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use toml_edit::{Item, TableLike, Value};

use super::fault::{At, Faults, Origin, Place, Wrong};

/// The text of the file, to turn spans into lines.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Source<'_> {
    pub fn place(&self, span: Option<std::ops::Range<usize>>, key: &str) -> Place {
        let start = span.map_or(0, |span| span.start).min(self.text.len());
        let line = 1 + self.text.as_bytes()[..start]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        Place {
            origin: Origin::File {
                path: self.path.to_owned(),
                line,
            },
            key: key.to_owned(),
        }
    }
}

/// One table of the file; an absent one reads as empty. `finish` reports the keys nobody asked for.
pub struct Section<'a> {
    source: Source<'a>,
    table: Option<&'a dyn TableLike>,
    path: String,
    place: Place,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub fn root(source: Source<'a>, table: &'a dyn TableLike) -> Self {
        Self {
            source,
            table: Some(table),
            path: String::new(),
            place: source.place(None, ""),
            known: Vec::new(),
        }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the key is there at all.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.item(key).is_some()
    }

    pub fn section(&mut self, key: &'static str, faults: &mut Faults) -> Section<'a> {
        let item = self.item(key);
        let place = self.place_of(key, item);
        let table = item.and_then(Item::as_table_like);
        if item.is_some() && table.is_none() {
            let header = &place.key;
            faults.add(
                &place,
                Wrong::new(
                    "is not a table",
                    format!("write [{header}] and its keys below"),
                ),
            );
        }
        self.child(table, place)
    }

    /// `[[key]]`, also written as an array of inline tables.
    pub fn sections(&mut self, key: &'static str, faults: &mut Faults) -> Option<Vec<Section<'a>>> {
        let item = self.item(key)?;
        let mut tables: Vec<Option<(&'a dyn TableLike, _)>> = Vec::new();
        match item {
            Item::ArrayOfTables(all) => {
                tables.extend(all.iter().map(|t| Some((t as &dyn TableLike, t.span()))));
            }
            Item::Value(Value::Array(all)) => tables.extend(all.iter().map(|value| {
                let table = value.as_inline_table()?;
                Some((table as &dyn TableLike, table.span()))
            })),
            _ => tables.push(None),
        }
        let mut found = Vec::new();
        for (index, table) in tables.into_iter().enumerate() {
            let name = format!("{}[{index}]", self.full(key));
            if let Some((table, span)) = table {
                let place = self.source.place(span, &name);
                found.push(self.child(Some(table), place));
            } else {
                let remedy = format!(
                    "write [[{}]] and its keys below, once for each",
                    self.full(key)
                );
                faults.add(
                    &self.place_of(key, Some(item)),
                    Wrong::new("is not a list of tables", remedy),
                );
            }
        }
        Some(found)
    }

    fn child(&self, table: Option<&'a dyn TableLike>, place: Place) -> Section<'a> {
        Section {
            source: self.source,
            table,
            path: place.key.clone(),
            place,
            known: Vec::new(),
        }
    }

    /// A text, turned into a value.
    pub fn text<T>(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        let item = self.item(key)?;
        let place = self.place_of(key, Some(item));
        let value = match item.as_str() {
            Some(text) => read(text),
            None => Err(mismatch(
                item.type_name(),
                "a text",
                "put it in double quotes",
            )),
        };
        faults.keep(place, value)
    }

    /// A list of texts, each turned into a value with its own place.
    pub fn texts<T>(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<At<T>>> {
        let item = self.item(key)?;
        let place = self.place_of(key, Some(item));
        let Some(list) = item.as_array() else {
            faults.add(
                &place,
                mismatch(item.type_name(), "a list", "write [\"…\", \"…\"]"),
            );
            return None;
        };
        let mut values = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let place = self
                .source
                .place(value.span(), &format!("{}[{index}]", self.full(key)));
            let read = match value.as_str() {
                Some(text) => read(text),
                None => Err(mismatch(
                    value.type_name(),
                    "a text",
                    "put it in double quotes",
                )),
            };
            values.extend(faults.keep(place, read));
        }
        Some(values)
    }

    pub fn number<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
    ) -> Option<At<T>> {
        let item = self.item(key)?;
        let place = self.place_of(key, Some(item));
        let value = match item.as_integer() {
            Some(number) => T::try_from(number).map_err(|_| {
                Wrong::new(
                    format!("{number} is out of range"),
                    "write a smaller number, not below 0",
                )
            }),
            None => Err(mismatch(
                item.type_name(),
                "a whole number",
                "write digits without quotes",
            )),
        };
        faults.keep(place, value)
    }

    pub fn number_in<T: TryFrom<i64> + PartialOrd + Display>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        faults: &mut Faults,
    ) -> Option<At<T>> {
        let at = self.number(key, faults)?;
        if !range.contains(&at.value) {
            let problem = format!("{} is out of range", at.value);
            let remedy = format!(
                "write {} to {}, or leave the key out",
                range.start(),
                range.end()
            );
            faults.add(&at.place, Wrong::new(problem, remedy));
        }
        Some(at)
    }

    pub fn boolean(&mut self, key: &'static str, faults: &mut Faults) -> Option<At<bool>> {
        let item = self.item(key)?;
        let place = self.place_of(key, Some(item));
        let value = item
            .as_bool()
            .ok_or_else(|| mismatch(item.type_name(), "true or false", "write it without quotes"));
        faults.keep(place, value)
    }

    /// A key that is there but wrong has its own fault already.
    pub fn needs(&self, key: &str, remedy: &str, faults: &mut Faults) {
        if self.table.is_some_and(|table| !table.contains_key(key)) {
            faults.add(&self.place, Wrong::new(format!("{key} is missing"), remedy));
        }
    }

    pub fn finish(self, faults: &mut Faults) {
        let Some(table) = self.table else { return };
        for (key, item) in table.iter() {
            if self.known.contains(&key) {
                continue;
            }
            let span = table.get_key_value(key).and_then(|(key, _)| key.span());
            let place = self
                .source
                .place(span.or_else(|| item.span()), &self.full(key));
            let remedy = match nearest(key, &self.known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            faults.add(&place, Wrong::new("is not a key the relay knows", remedy));
        }
    }

    fn item(&mut self, key: &'static str) -> Option<&'a Item> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn place_of(&self, key: &str, item: Option<&Item>) -> Place {
        let key_span = self
            .table
            .and_then(|t| t.get_key_value(key))
            .and_then(|(key, _)| key.span());
        self.source
            .place(item.and_then(Item::span).or(key_span), &self.full(key))
    }

    fn full(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}

fn mismatch(is: &str, should: &str, remedy: &str) -> Wrong {
    Wrong::new(format!("is of type {is}, not {should}"), remedy)
}

/// The known key within two typing errors.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let close = |candidate: &&'static str| (distance(key, candidate), *candidate);
    let (errors, best) = known.iter().map(close).min()?;
    (errors <= 2.min(best.len() / 2)).then_some(best)
}

/// Levenshtein distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
