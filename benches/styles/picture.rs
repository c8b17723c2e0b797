//! The picture: requests a second over connections, a line a style; beside it the same with a long question running.

use super::CONNECTIONS;
use super::STYLES;
use super::measure::Measurement;
use plotters::prelude::*;
use std::error::Error;

const COLOURS: [RGBColor; STYLES.len()] = [
    RGBColor(140, 140, 140),
    RGBColor(214, 138, 30),
    RGBColor(60, 130, 200),
    RGBColor(130, 90, 180),
    RGBColor(200, 40, 60),
];

pub(super) fn draw(all: &[Measurement], path: &str) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (960, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    for (panel, is_beside_long) in root.split_evenly((1, 2)).iter().zip([false, true]) {
        let title = match is_beside_long {
            false => "requests a second",
            true => "the same beside one long question (bottom: no reply at all)",
        };
        let mut chart = ChartBuilder::on(panel)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d((0.8f64..14_000.0).log_scale(), (0.5f64..500_000.0).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("connections")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(WHITE)
            .draw()?;
        for (style, colour) in STYLES.into_iter().zip(COLOURS) {
            let points = points(all, style, is_beside_long);
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
                .label(style)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        if !is_beside_long {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerLeft)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .draw()?;
        }
    }
    root.present()?;
    Ok(())
}

/// Where the style answered at all. Nothing in a second is drawn on the floor of the picture.
fn points(all: &[Measurement], style: &str, is_beside_long: bool) -> Vec<(f64, f64)> {
    let of_style =
        |measurement: &&Measurement| measurement.style == style && measurement.is_beside_long == is_beside_long;
    let point = |measurement: &Measurement| {
        let figures = measurement.outcome.as_ref().ok()?;
        Some((measurement.connections as f64, figures.requests_per_second.max(0.5)))
    };
    assert!(
        all.iter()
            .all(|measurement| CONNECTIONS.contains(&measurement.connections))
    );
    all.iter().filter(of_style).filter_map(point).collect()
}
