//! Draws charts of horizontal bars as one SVG that reads on light and on dark ground. It reads nothing.

use std::fmt::Write as _;

/// A chart.
pub(super) struct Chart {
    /// What it shows.
    pub(super) title: &'static str,
    /// Quantity and unit of the axis.
    pub(super) axis: &'static str,
    /// From top to bottom.
    pub(super) bars: Vec<Bar>,
}

/// A bar of parts, drawn one behind the other.
pub(super) struct Bar {
    /// What stands to its left.
    pub(super) name: String,
    /// Its parts.
    pub(super) parts: Vec<Part>,
    /// Where a dashed line says what is aimed at.
    pub(super) aim: Option<f64>,
}

/// A part of a bar.
pub(super) struct Part {
    /// What it is; also its colour: `floor`, `enclave` or `host`.
    pub(super) name: &'static str,
    /// Its length in the axis's unit.
    pub(super) value: f64,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 170.0;
const PLOT: f64 = WIDTH - LEFT - 40.0;
const BAR: f64 = 22.0;
const ROW: f64 = 34.0;
const HEAD: f64 = 46.0;
const FOOT: f64 = 58.0;
/// Fewest steps of an axis.
const STEPS_MIN: f64 = 4.0;

const STYLE: &str = "text{font:13px sans-serif;fill:#1f2328}.t{font-weight:600;font-size:15px}.m{text-anchor:middle}\
.e{text-anchor:end}.g{stroke:#d0d7de;stroke-width:1}.a{stroke:#1f2328;stroke-width:2;stroke-dasharray:4 3}.v{fill:#fff}\
.floor{fill:#6e7781}.enclave{fill:#0969da}.host{fill:#8250df}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.g{stroke:#30363d}.a{stroke:#e6edf3}.v{fill:#0d1117}\
.floor{fill:#8b949e}.enclave{fill:#58a6ff}.host{fill:#bc8cff}}";

/// The charts, one below the other.
pub(super) fn draw(charts: &[Chart]) -> String {
    let mut body = String::new();
    let mut top = 0.0;
    for chart in charts {
        top = draw_chart(&mut body, chart, top);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\">\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// Draws one chart from `top` on and gives where it ends.
fn draw_chart(out: &mut String, chart: &Chart, top: f64) -> f64 {
    let longest = chart.bars.iter().map(|bar| length(bar).max(bar.aim.unwrap_or_default())).fold(0.0, f64::max);
    let step = step(longest);
    let end = (longest / step).ceil() * step;
    let x = |value: f64| LEFT + PLOT * value / end;
    let rows = f64::from(u32::try_from(chart.bars.len()).unwrap_or(u32::MAX));
    let (first, bottom) = (top + HEAD, top + HEAD + rows * ROW);
    add(out, format_args!("<text class=\"t\" x=\"10\" y=\"{}\">{}</text>", top + 24.0, escaped(chart.title)));
    let mut tick = 0.0;
    while tick <= end {
        let at = x(tick);
        add(out, format_args!("<line class=\"g\" x1=\"{at:.1}\" y1=\"{first}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>"));
        add(out, format_args!("<text class=\"m\" x=\"{at:.1}\" y=\"{}\">{tick:.0}</text>", bottom + 18.0));
        tick += step;
    }
    let middle = LEFT + PLOT / 2.0;
    add(out, format_args!("<text class=\"m\" x=\"{middle}\" y=\"{}\">{}</text>", bottom + 38.0, escaped(chart.axis)));
    for (bar, row) in chart.bars.iter().zip(0_u32..) {
        draw_bar(out, bar, first + f64::from(row) * ROW, &x);
    }
    bottom + FOOT
}

fn draw_bar(out: &mut String, bar: &Bar, top: f64, x: &impl Fn(f64) -> f64) {
    let base = top + BAR - 6.0;
    add(out, format_args!("<text class=\"e\" x=\"{}\" y=\"{base}\">{}</text>", LEFT - 10.0, escaped(&bar.name)));
    let mut start = 0.0;
    for part in &bar.parts {
        let (from, to) = (x(start), x(start + part.value));
        let width = to - from;
        add(
            out,
            format_args!(
                "<rect class=\"{}\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\"/>",
                part.name
            ),
        );
        let label =
            if bar.parts.len() > 1 { format!("{} {:.0}", part.name, part.value) } else { format!("{:.0}", part.value) };
        let middle = from + width / 2.0;
        add(out, format_args!("<text class=\"v m\" x=\"{middle:.1}\" y=\"{base}\">{}</text>", escaped(&label)));
        start += part.value;
    }
    if let Some(aim) = bar.aim {
        let at = x(aim);
        let (from, to) = (top - 4.0, top + BAR + 4.0);
        add(
            out,
            format_args!(
                "<line class=\"a\" x1=\"{at:.1}\" y1=\"{from}\" x2=\"{at:.1}\" y2=\"{to}\"><title>aim</title></line>"
            ),
        );
    }
}

fn length(bar: &Bar) -> f64 {
    bar.parts.iter().map(|part| part.value).sum()
}

/// The largest of 1, 2 and 5 times a power of ten that makes at least [`STEPS_MIN`] steps.
fn step(longest: f64) -> f64 {
    let decade = 10_f64.powf((longest.max(1.0) / STEPS_MIN).log10().floor());
    [5.0, 2.0].map(|times| times * decade).into_iter().find(|step| longest / step >= STEPS_MIN).unwrap_or(decade)
}

fn add(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{line}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps() {
        for (longest, expect) in [(4.0, 1.0), (9.9, 2.0), (26.0, 5.0), (420.0, 100.0), (38_000.0, 5_000.0), (0.0, 0.1)]
        {
            assert!((step(longest) - expect).abs() < 1e-9, "{longest}: {}", step(longest));
        }
    }

    #[test]
    fn bars_end_where_their_values_say() {
        let parts =
            [("enclave", 100.0), ("host", 25.0), ("floor", 50.0)].map(|(name, value)| Part { name, value }).into();
        let bars = vec![Bar { name: "a < b".to_owned(), parts, aim: Some(200.0) }];
        let drawn = draw(&[Chart { title: "t", axis: "us & more", bars }]);
        for (start, width) in [(0.0, 0.5), (0.5, 0.125), (0.625, 0.25)] {
            let bar = format!("x=\"{:.1}\" y=\"{HEAD}\" width=\"{:.1}\"", LEFT + PLOT * start, PLOT * width);
            assert!(drawn.contains(&bar), "{bar}: {drawn}");
        }
        assert!(drawn.contains(&format!("<line class=\"a\" x1=\"{:.1}\"", LEFT + PLOT)), "{drawn}");
        assert!(drawn.contains("a &lt; b") && drawn.contains("us &amp; more") && drawn.ends_with("</svg>\n"));
    }
}
