//! Horizontal bars as SVG: all the document needs. Reads nothing.

use std::fmt::Write;

/// One bar.
pub struct Bar {
    pub label: String,
    pub value: f64,
}

const LABELS: f64 = 220.0;
const BARS: f64 = 400.0;
const FIGURES: f64 = 90.0;
const ROW: f64 = 24.0;
const HEAD: f64 = 34.0;

/// A chart of `bars`, longest as wide as there is room. A value that is no number has no bar.
pub fn bars(title: &str, unit: &str, bars: &[Bar]) -> String {
    let longest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let height = HEAD + ROW * bars.len() as f64 + 8.0;
    let width = LABELS + BARS + FIGURES;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">{} ({})</text>\n",
        escaped(title),
        escaped(unit)
    );
    for (i, bar) in bars.iter().enumerate() {
        let y = HEAD + ROW * i as f64;
        let length = if longest > 0.0 && bar.value.is_finite() {
            (bar.value.max(0.0) / longest * BARS).max(1.0)
        } else {
            0.0
        };
        let ours = bar.label.starts_with("relay");
        let colour = if ours { "#1f6feb" } else { "#8c959f" };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{}\" width=\"{length:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            LABELS - 8.0,
            y + 13.0,
            escaped(&bar.label),
            y,
            LABELS + length + 6.0,
            y + 13.0,
            figure(bar.value)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// With as many digits as mean something.
pub fn figure(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 10_000.0 => format!("{:.0} k", value / 1000.0),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 || value.fract() == 0.0 => format!("{value:.1}").replace(".0", ""),
        _ => format!("{value:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_names_are_escaped() {
        let bar = |label: &str, value| Bar {
            label: label.to_owned(),
            value,
        };
        let all = [bar("a<b", 50.0), bar("relay", 100.0), bar("none", f64::NAN)];
        let svg = bars("t & u", "ns", &all);
        assert!(svg.contains("a&lt;b") && svg.contains("t &amp; u"));
        assert!(svg.contains("width=\"400.0\"") && svg.contains("width=\"200.0\""));
        assert_eq!(svg.matches("<rect").count(), 4);
    }

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        let figures = [1.234, 12.34, 123.4, 12_340.0, 1_234_000.0, 0.0, 40.0].map(figure);
        assert_eq!(
            figures,
            ["1.23", "12.3", "123", "12 k", "1.23 M", "0", "40"]
        );
    }
}
