//! The picture as SVG: users above what they use, in layers.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Graph, Role};

const ROW: f64 = 74.0;
const BOX_HEIGHT: f64 = 26.0;
const GAP: f64 = 18.0;
const LETTER: f64 = 7.4;
const MARGIN: f64 = 16.0;
/// Rounds of pulling modules towards their neighbours.
const ROUNDS: usize = 12;
/// A layer wider than this many modules is broken into several rows.
const ROW_MAX: usize = 14;

struct Place {
    x: f64,
    y: f64,
    width: f64,
}

/// How far below its highest user each module stands.
fn depths(graph: &Graph) -> BTreeMap<&str, usize> {
    let mut depth: BTreeMap<&str, usize> = graph.modules.keys().map(|n| (&n[..], 0)).collect();
    // As often as the longest way is long; a loop would never settle.
    for _ in 0..graph.modules.len().min(64) {
        let mut changed = false;
        for (from, to) in graph.edges.keys() {
            let (Some(&a), Some(&b)) = (depth.get(&from[..]), depth.get(&to[..])) else {
                continue;
            };
            if b <= a && a < 64 {
                depth.insert(to, a + 1);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depth
}

/// The rows, each ordered so that edges cross little.
fn rows(graph: &Graph) -> Vec<Vec<&str>> {
    let depth = depths(graph);
    let mut rows: Vec<Vec<&str>> = Vec::new();
    for (&name, &d) in &depth {
        if rows.len() <= d {
            rows.resize(d + 1, Vec::new());
        }
        rows[d].push(name);
    }
    let mut neighbours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in graph.edges.keys() {
        neighbours.entry(from).or_default().push(to);
        neighbours.entry(to).or_default().push(from);
    }
    for round in 0..ROUNDS {
        let mut at: BTreeMap<&str, f64> = BTreeMap::new();
        for row in &rows {
            for (i, n) in row.iter().enumerate() {
                at.insert(n, (i as f64 + 0.5) / row.len() as f64);
            }
        }
        let order: Vec<usize> = match round % 2 {
            0 => (0..rows.len()).collect(),
            _ => (0..rows.len()).rev().collect(),
        };
        for r in order {
            let mean = |n: &str| {
                let near = neighbours.get(n).map_or(&[][..], |v| v);
                let sum: f64 = near.iter().filter_map(|m| at.get(m)).sum();
                if near.is_empty() {
                    0.5
                } else {
                    sum / near.len() as f64
                }
            };
            let mut keyed: Vec<(f64, &str)> = rows[r].iter().map(|n| (mean(n), *n)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
            rows[r] = keyed.into_iter().map(|k| k.1).collect();
            for (i, n) in rows[r].iter().enumerate() {
                at.insert(n, (i as f64 + 0.5) / rows[r].len() as f64);
            }
        }
    }
    rows.into_iter()
        .flat_map(|r| r.chunks(ROW_MAX).map(<[&str]>::to_vec).collect::<Vec<_>>())
        .collect()
}

/// Where an edge passes a row that it neither begins nor ends in: the space
/// between two boxes, or beside them, that is nearest to `x`.
fn passage(row: &[&str], places: &BTreeMap<&str, Place>, x: f64) -> f64 {
    let boxes = row.iter().filter_map(|n| places.get(n));
    let spaces = boxes.flat_map(|p| [p.x - GAP / 2.0, p.x + p.width + GAP / 2.0]);
    spaces
        .min_by(|a, b| (a - x).abs().total_cmp(&(b - x).abs()))
        .unwrap_or(x)
}

/// An edge's way from the lower side of a box to the upper side of another.
fn path(
    rows: &[Vec<&str>],
    places: &BTreeMap<&str, Place>,
    from: &str,
    to: &str,
) -> Option<String> {
    let (a, b) = (places.get(from)?, places.get(to)?);
    let row = |p: &Place| ((p.y - MARGIN) / ROW).round() as usize;
    let (mut x, mut y) = (a.x + a.width / 2.0, a.y + BOX_HEIGHT);
    let end = (b.x + b.width / 2.0, b.y);
    let mut points = vec![(x, y)];
    for (r, names) in rows.iter().enumerate().take(row(b)).skip(row(a) + 1) {
        let top = MARGIN + r as f64 * ROW;
        let straight = x + (end.0 - x) * (top - y) / (end.1 - y);
        x = passage(names, places, straight);
        y = top + BOX_HEIGHT;
        points.extend([(x, top), (x, y)]);
    }
    points.push(end);
    let mut out = format!("M{:.1} {:.1}", points[0].0, points[0].1);
    for w in points.windows(2) {
        let ((x1, y1), (x2, y2)) = (w[0], w[1]);
        let middle = (y1 + y2) / 2.0;
        let _ = write!(
            out,
            " C{x1:.1} {middle:.1} {x2:.1} {middle:.1} {x2:.1} {y2:.1}"
        );
    }
    Some(out)
}

fn escape(s: &str) -> String {
    s.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The picture, complete.
pub fn svg(graph: &Graph) -> String {
    let rows = rows(graph);
    let width_of = |n: &str| n.chars().count() as f64 * LETTER + 18.0;
    let row_width = |r: &[&str]| r.iter().map(|n| width_of(n) + GAP).sum::<f64>();
    let width = rows.iter().map(|r| row_width(r)).fold(120.0, f64::max) + 2.0 * MARGIN;
    let height = rows.len() as f64 * ROW + 2.0 * MARGIN - (ROW - BOX_HEIGHT);
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        let mut x = (width - row_width(row)) / 2.0;
        for n in row {
            let w = width_of(n);
            places.insert(
                n,
                Place {
                    x,
                    y: MARGIN + i as f64 * ROW,
                    width: w,
                },
            );
            x += w + GAP;
        }
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for ((from, to), soft) in &graph.edges {
        let Some(way) = path(&rows, &places, from, to) else {
            continue;
        };
        let dash = if *soft {
            " stroke-dasharray=\"4 3\""
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<path d=\"{way}\" fill=\"none\" stroke=\"#7a8699\"{dash}/>"
        );
    }
    for (name, p) in &places {
        let (fill, dash) = match graph.modules.get(*name) {
            Some(Role::Asked) => ("#d7e8ff", ""),
            Some(Role::Soft) => ("#ffffff", " stroke-dasharray=\"4 3\""),
            _ => ("#f4f6f8", ""),
        };
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BOX_HEIGHT}\" rx=\"6\" \
             fill=\"{fill}\" stroke=\"#445\"{dash}/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            p.x,
            p.y,
            p.width,
            p.x + p.width / 2.0,
            p.y + 17.0,
            escape(name)
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::diamond;
    use super::*;

    #[test]
    fn users_stand_above_what_they_use() {
        let g = diamond();
        let rows = rows(&g);
        assert_eq!(rows[0], ["top"]);
        assert_eq!(rows.last().unwrap(), &["bottom"]);
        let picture = svg(&g);
        assert_eq!(picture.matches("<text").count(), 5);
        assert_eq!(picture.matches("<path").count(), 5);
        assert!(picture.ends_with("</svg>\n"));
    }

    #[test]
    fn an_edge_goes_around_the_boxes_of_other_rows() {
        let place = |x, row| Place {
            x,
            y: MARGIN + row as f64 * ROW,
            width: 100.0,
        };
        let mut places = BTreeMap::new();
        for (name, row) in [("top", 0), ("middle", 1), ("bottom", 2)] {
            places.insert(name, place(0.0, row));
        }
        let rows = vec![vec!["top"], vec!["middle"], vec!["bottom"]];
        // Nearest to the middle of the box are both of its sides.
        let beside = passage(&rows[1], &places, 50.0);
        assert!(!(0.0..=100.0).contains(&beside));
        let way = path(&rows, &places, "top", "bottom").unwrap();
        assert!(
            way.contains(&format!("{beside:.1} {:.1}", MARGIN + ROW)),
            "{way}"
        );
        assert!(way.contains(&format!("{beside:.1} {:.1}", MARGIN + ROW + BOX_HEIGHT)));
        assert_eq!(
            path(&rows, &places, "top", "middle")
                .unwrap()
                .matches('C')
                .count(),
            1
        );
    }

    #[test]
    fn a_loop_ends() {
        let mut g = Graph::default();
        for (a, b) in [("a", "b"), ("b", "a")] {
            g.modules.insert(a.into(), Role::Asked);
            g.edges.insert((a.into(), b.into()), false);
        }
        assert!(svg(&g).contains(">a<"));
    }
}
