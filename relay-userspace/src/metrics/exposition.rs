//! Samples to Prometheus text. Values of one name are kept together, with the help the registry has for it.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::registry::{self, PREFIX};
use crate::relay::{Kind, Sample};

/// The text format's media type, as Prometheus negotiates it by default.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub fn encode(samples: Vec<Sample>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Snapshot(samples)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Snapshot(Vec<Sample>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut by_name: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in &self.0 {
            by_name.entry(&sample.name).or_default().push(sample);
        }
        for (name, samples) in by_name {
            let help = registry::find(name).map_or("Not described.", |metric| metric.help);
            match samples[0].kind {
                Kind::Counter => family(&mut encoder, name, help, &samples, ConstCounter::new)?,
                Kind::Gauge => family(&mut encoder, name, help, &samples, |v| {
                    ConstGauge::new(i64::try_from(v).unwrap_or(i64::MAX))
                })?,
            }
        }
        Ok(())
    }
}

fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    samples: &[&Sample],
    metric: impl Fn(u64) -> M,
) -> Result<(), fmt::Error> {
    let kind = metric(0).metric_type();
    let mut values = encoder.encode_descriptor(name, help, None, kind)?;
    for sample in samples {
        let labels: Vec<(&str, &str)> = sample
            .labels
            .iter()
            .map(|(k, v)| (*k, v.as_str()))
            .collect();
        let one = metric(sample.value);
        if labels.is_empty() {
            // Without labels there is one value; as a family it would get empty braces.
            return one.encode(values);
        }
        one.encode(values.encode_family(&labels)?)?;
    }
    Ok(())
}
