//! One measured value on its way to `/metrics`. Knows no exposition format.

/// Whether a value only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// One value. The name is snake case, without the `relay_` prefix and without the `_total` suffix of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(&'static str, String)>,
    pub value: u64,
    pub kind: Kind,
}

impl Sample {
    pub fn counter(name: impl Into<String>, value: u64) -> Sample {
        Sample { name: name.into(), labels: Vec::new(), value, kind: Kind::Counter }
    }

    pub fn gauge(name: impl Into<String>, value: u64) -> Sample {
        Sample { kind: Kind::Gauge, ..Sample::counter(name, value) }
    }

    pub fn label(mut self, key: &'static str, value: impl Into<String>) -> Sample {
        self.labels.push((key, value.into()));
        self
    }
}
