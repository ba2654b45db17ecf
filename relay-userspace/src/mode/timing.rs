//! The times and thresholds of a [`Policy`] by name, as a user sets them, and what has to hold between them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::Policy;
use crate::config::value;

/// `doubt=1s`, read and within its limits.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    field: Field,
    value: Value,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Time(Duration),
    Count(usize),
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Time(fn(&mut Policy) -> &mut Duration),
    Count(fn(&mut Policy) -> &mut usize, usize, usize),
}

#[derive(Debug, thiserror::Error)]
pub enum TimingError {
    #[error("{0:?}: write NAME=VALUE, such as doubt=1s")]
    Shape(String),
    #[error("{0:?} is no timing: there are {names}", names = names())]
    Name(String),
    #[error("{name}: {problem}")]
    Value { name: String, problem: String },
    #[error("{name}: {value} is not within {limits}")]
    Limits {
        name: String,
        value: String,
        limits: String,
    },
}

/// Timings that are right one by one and wrong together; all of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Disorder(Vec<String>);

const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

macro_rules! time {
    ($field:ident) => {
        Field::Time(|policy| &mut policy.$field)
    };
}

macro_rules! count {
    ($field:ident, $least:expr, $most:expr) => {
        Field::Count(|policy| &mut policy.$field, $least, $most)
    };
}

const FIELDS: [(&str, Field); 30] = [
    ("head-start", time!(head_start)),
    ("commit", time!(commit)),
    ("give-up", time!(give_up)),
    ("probe-every", time!(probe_every)),
    ("standby-every", time!(standby_every)),
    ("probe-patience", time!(probe_patience)),
    ("doubt", time!(doubt)),
    ("steady-run", count!(steady_run, 2, 1000)),
    ("steady-gap", time!(steady_gap)),
    ("steady-probe-every", time!(steady_probe_every)),
    ("steady-doubt", time!(steady_doubt)),
    ("silence", time!(silence)),
    ("tcp-silence", time!(tcp_silence)),
    ("loss-percent", count!(loss_percent, 1, 100)),
    ("loss-window", time!(loss_window)),
    ("loss-samples", count!(loss_samples, 1, 10_000)),
    ("long-percent", count!(long_percent, 1, 100)),
    ("long-samples", count!(long_samples, 1, 10_000)),
    ("loss-probe-every", time!(loss_probe_every)),
    ("healthy-round-trip", time!(healthy_round_trip)),
    ("return-bytes", count!(return_bytes, 20, 1400)),
    ("return-run", count!(return_run, 1, 1000)),
    ("return-every", time!(return_every)),
    ("seek", time!(seek)),
    ("longest-seek", time!(longest_seek)),
    ("dwell", time!(dwell)),
    ("longest-dwell", time!(longest_dwell)),
    ("reopen", time!(reopen)),
    ("longest-reopen", time!(longest_reopen)),
    ("carry", time!(carry)),
];

/// The first is at most the second.
const ORDER: [(&str, &str); 11] = [
    ("head-start", "commit"),
    ("commit", "give-up"),
    ("probe-every", "doubt"),
    ("steady-gap", "steady-doubt"),
    ("steady-doubt", "doubt"),
    ("doubt", "silence"),
    ("silence", "give-up"),
    ("loss-probe-every", "probe-every"),
    ("seek", "longest-seek"),
    ("dwell", "longest-dwell"),
    ("reopen", "longest-reopen"),
];

impl Timing {
    pub fn apply(self, policy: &mut Policy) {
        match (self.field, self.value) {
            (Field::Time(of), Value::Time(time)) => *of(policy) = time,
            (Field::Count(of, ..), Value::Count(count)) => *of(policy) = count,
            // Never read so.
            (Field::Time(_), Value::Count(_)) | (Field::Count(..), Value::Time(_)) => {}
        }
    }
}

impl FromStr for Timing {
    type Err = TimingError;

    fn from_str(text: &str) -> Result<Self, TimingError> {
        let shape = || TimingError::Shape(text.to_owned());
        let (name, value) = text.split_once('=').ok_or_else(shape)?;
        let field = find(name).ok_or_else(|| TimingError::Name(name.to_owned()))?;
        let value = field.read(name, value)?;
        Ok(Self { field, value })
    }
}

impl Field {
    fn read(self, name: &str, text: &str) -> Result<Value, TimingError> {
        let name = name.to_owned();
        let wrong = |problem: String| TimingError::Value {
            name: name.clone(),
            problem,
        };
        let (value, fits, limits) = match self {
            Field::Time(_) => {
                let time = value::duration(text).map_err(|problem| wrong(problem.to_string()))?;
                let [least, most] = [TIMES.start(), TIMES.end()].map(|t| value::duration_text(*t));
                (
                    Value::Time(time),
                    TIMES.contains(&time),
                    format!("{least} and {most}"),
                )
            }
            Field::Count(_, least, most) => {
                let count = text.parse::<usize>();
                let count = count.map_err(|_| wrong(format!("{text:?} is no number")))?;
                let fits = (least..=most).contains(&count);
                (Value::Count(count), fits, format!("{least} and {most}"))
            }
        };
        match fits {
            true => Ok(value),
            false => Err(TimingError::Limits {
                name,
                value: text.to_owned(),
                limits,
            }),
        }
    }
}

impl Policy {
    /// The defaults, with `timings` instead of some of them.
    pub fn with(timings: &[Timing]) -> Result<Self, Disorder> {
        let mut policy = Self::default();
        timings.iter().for_each(|timing| timing.apply(&mut policy));
        let mut wrong = Vec::new();
        for (less, more) in ORDER {
            let [a, b] = [less, more].map(|name| policy.time(name));
            if a > b {
                let [a, b] = [a, b].map(value::duration_text);
                wrong.push(format!("{less} ({a}) is longer than {more} ({b})"));
            }
        }
        let sampled = policy.loss_probe_every * policy.loss_samples as u32;
        if sampled > policy.loss_window {
            let [sampled, window] = [sampled, policy.loss_window].map(value::duration_text);
            wrong.push(format!(
                "loss-samples probes take {sampled}, and loss-window is {window}: no loss would ever be noticed"
            ));
        }
        match wrong.is_empty() {
            true => Ok(policy),
            false => Err(Disorder(wrong)),
        }
    }

    fn time(&mut self, name: &str) -> Duration {
        match find(name) {
            Some(Field::Time(of)) => *of(self),
            Some(Field::Count(..)) | None => Duration::ZERO,
        }
    }
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

fn find(name: &str) -> Option<Field> {
    let named = |(known, _): &&(&str, Field)| *known == name;
    FIELDS.iter().find(named).map(|(_, field)| *field)
}

fn names() -> String {
    FIELDS.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(texts: &[&str]) -> Result<Policy, Disorder> {
        let timings: Vec<Timing> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Policy::with(&timings)
    }

    #[test]
    fn a_timing_sets_its_own_field_and_the_defaults_are_in_order() {
        assert_eq!(policy(&[]), Ok(Policy::default()));
        let policy = policy(&["doubt=1s", "return-run=3"]).unwrap();
        let expected = Policy {
            doubt: Duration::from_secs(1),
            return_run: 3,
            ..Policy::default()
        };
        assert_eq!(policy, expected);
    }

    #[test]
    fn each_name_is_another_field() {
        for (name, field) in FIELDS {
            let mut policy = Policy::default();
            match field {
                Field::Time(of) => *of(&mut policy) += Duration::from_millis(1),
                Field::Count(of, ..) => *of(&mut policy) += 1,
            }
            assert_ne!(policy, Policy::default(), "{name}");
            let others = FIELDS.iter().filter(|(other, _)| *other != name);
            for (other, field) in others {
                let mut default = Policy::default();
                let same = match field {
                    Field::Time(of) => *of(&mut policy) == *of(&mut default),
                    Field::Count(of, ..) => *of(&mut policy) == *of(&mut default),
                };
                assert!(same, "{name} changes {other}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_timing_is_said_with_what_there_is() {
        for (text, words) in [
            ("doubt", "write NAME=VALUE"),
            ("dowbt=1s", "there are head-start, commit"),
            ("doubt=1", "with a unit"),
            ("doubt=1ms", "doubt: 1ms is not within 10ms and 1h"),
            ("loss-percent=0", "loss-percent: 0 is not within 1 and 100"),
            ("return-run=many", "no number"),
        ] {
            let error = text.parse::<Timing>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn timings_that_do_not_go_together_are_told_all_at_once() {
        let error = policy(&["doubt=3s", "dwell=10m", "loss-samples=200"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "doubt (3s) is longer than silence (2s500ms); dwell (10m) is longer than longest-dwell (5m); \
             loss-samples probes take 6s, and loss-window is 3s: no loss would ever be noticed"
        );
    }
}
