//! The cells of a sweep: every combination of the axes' values, or the lines of a file.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use indexmap::IndexSet;
use redraft_engine::files;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{NodeId, Prompt};
use redraft_engine::settable::Addresses;
use redraft_engine::stock::Known;
use serde_json::{Map, Value as Json};

use crate::changes::{Literal, Setting};
use crate::exit::{Outcome, Stop};

use super::args::SweepArgs;
use super::axis::{Axis, MOST};
use super::lines;

/// The largest file of cells that is read, in bytes.
const MAX_JSONL: u64 = 256 << 20;

/// What a cell sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) settings: Vec<Setting>,
    pub(super) count_on: u64,
}

/// All cells, by number from 0. The last axis changes first.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) axes: Vec<Axis>,
    /// In place of axes.
    lines: Vec<Map<String, Json>>,
    /// The addresses that the lines name.
    columns: IndexSet<String>,
    pub(super) repeat: u64,
}

impl Grid {
    pub(super) fn of(args: &SweepArgs) -> Outcome<Self> {
        let axis = |text: &String| Axis::parse(text).map_err(|why| Stop::wrong(format!("--axis '{text}': {why}")));
        let axes = args.axes.iter().map(axis).collect::<Outcome<Vec<_>>>()?;
        let mut addresses = HashSet::new();
        if let Some(twice) = axes.iter().find(|axis| !addresses.insert(axis.address.as_str())) {
            return Err(Stop::wrong(format!("--axis: {} is given twice; give it once", twice.address)));
        }
        let lines = args.jsonl.as_deref().map(read_lines).transpose()?.unwrap_or_default();
        let columns = lines.iter().flat_map(|line| line.keys().cloned()).collect();
        let grid = Self { axes, lines, columns, repeat: args.repeat };
        if args.repeat == 0 || (grid.axes.is_empty() && args.jsonl.is_none() && args.repeat == 1) {
            return Err(Stop::wrong("there is nothing to sweep over; give --axis, --jsonl or --repeat"));
        }
        grid.checked_len(args.jsonl.is_some())?;
        Ok(grid)
    }

    fn checked_len(&self, by_lines: bool) -> Outcome<()> {
        let lengths = self.axes.iter().map(|axis| axis.values.len() as u64).chain([self.repeat]);
        let start = if by_lines { self.lines.len() as u64 } else { 1 };
        let count = lengths.fold(start, u64::saturating_mul);
        if count > MOST as u64 {
            return Err(Stop::wrong(format!("there are {count} cells, and {MOST} are the most; give fewer values")));
        }
        Ok(())
    }

    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.lengths().iter().product()
    }

    /// How many values there are along each dimension: the axes or the lines, then the repetitions.
    pub(super) fn lengths(&self) -> Vec<usize> {
        let mut lengths: Vec<_> = self.axes.iter().map(|axis| axis.values.len()).collect();
        if lengths.is_empty() && !self.columns.is_empty() {
            lengths.push(self.lines.len());
        }
        if self.repeat > 1 || lengths.is_empty() {
            lengths.push(usize::try_from(self.repeat).unwrap_or(MOST));
        }
        lengths
    }

    /// What each column of the table holds.
    pub(super) fn columns(&self) -> Vec<String> {
        let mut columns: Vec<_> = self.axes.iter().map(|axis| axis.address.clone()).collect();
        columns.extend(self.columns.iter().cloned());
        columns.extend((self.repeat > 1).then(|| "repeat".to_owned()));
        columns
    }

    /// Where a cell lies along each dimension.
    pub(super) fn place(&self, number: usize) -> Vec<usize> {
        let (mut rest, lengths) = (number, self.lengths());
        let mut place: Vec<_> = lengths.iter().rev().map(|length| (rest % length, rest /= length).0).collect();
        place.reverse();
        place
    }

    /// The cell at a place.
    pub(super) fn number(&self, place: &[usize]) -> usize {
        self.lengths().iter().zip(place).fold(0, |number, (length, at)| number * length + at)
    }

    /// What a cell sets.
    pub(super) fn cell(&self, number: usize) -> Cell {
        let place = self.place(number);
        let of_axis = |(axis, at): (&Axis, &usize)| {
            let value = Literal::Text(axis.values.get(*at)?.clone());
            Some(Setting { address: axis.address.clone(), value })
        };
        let mut settings: Vec<_> = self.axes.iter().zip(&place).filter_map(of_axis).collect();
        if self.axes.is_empty()
            && let Some(line) = place.first().and_then(|at| self.lines.get(*at))
        {
            let setting = |(address, value): (&String, &Json)| Setting {
                address: address.clone(),
                value: Literal::Json(value.clone()),
            };
            settings.extend(line.iter().map(setting));
        }
        let repeated = place.last().filter(|_| self.repeat > 1);
        Cell { settings, count_on: repeated.map_or(0, |at| *at as u64) }
    }

    /// A cell's values by column; empty where a line does not name one.
    pub(super) fn values(&self, number: usize) -> Vec<String> {
        let Cell { settings, count_on } = self.cell(number);
        let mut values: Vec<_> = if self.axes.is_empty() {
            let by_address: HashMap<_, _> = settings.into_iter().map(|set| (set.address, set.value)).collect();
            let value = |column: &String| by_address.get(column).map(text).unwrap_or_default();
            self.columns.iter().map(value).collect()
        } else {
            settings.iter().map(|set| text(&set.value)).collect()
        };
        values.extend((self.repeat > 1).then(|| count_on.to_string()));
        values
    }

    /// What a dimension is called on a sheet.
    pub(super) fn dimension(&self, dimension: usize) -> &str {
        match self.axes.get(dimension) {
            Some(axis) => &axis.address,
            None if self.axes.is_empty() && dimension == 0 && !self.columns.is_empty() => "line",
            None => "repeat",
        }
    }

    /// What a value of a dimension is called on a sheet.
    pub(super) fn label(&self, dimension: usize, at: usize) -> String {
        if let Some(axis) = self.axes.get(dimension) {
            return axis.values.get(at).cloned().unwrap_or_default();
        }
        match self.lines.get(at).filter(|_| self.dimension(dimension) == "line") {
            Some(line) => {
                let short = |address: &String| address.rsplit('.').next().unwrap_or_default().to_owned();
                let values = line
                    .iter()
                    .map(|(address, value)| format!("{}={}", short(address), text(&Literal::Json(value.clone()))));
                values.collect::<Vec<_>>().join(", ")
            }
            None => format!("+{at}"),
        }
    }

    /// What a cell is called for people: `cfg=5, seed=3`.
    pub(super) fn title(&self, number: usize) -> String {
        let short = |column: String| column.rsplit('.').next().unwrap_or_default().to_owned();
        let values = self.columns().into_iter().map(short).zip(self.values(number));
        let shown: Vec<_> =
            values.filter(|(_, value)| !value.is_empty()).map(|(column, value)| format!("{column}={value}")).collect();
        shown.join(", ")
    }

    /// The cells in the order in which they share most: of what lies furthest upstream the value changes last.
    pub(super) fn order(&self, prompt: &Prompt, registry: &Registry) -> Outcome<Vec<usize>> {
        let mut all: Vec<usize> = (0..self.len()).collect();
        if self.axes.is_empty() {
            return Ok(all);
        }
        let downstream = self.downstream(prompt, registry)?;
        let mut slowest: Vec<usize> = (0..self.axes.len()).collect();
        slowest.sort_by_key(|axis| std::cmp::Reverse(downstream[*axis]));
        all.sort_by_cached_key(|number| {
            let place = self.place(*number);
            let mut key: Vec<_> = slowest.iter().filter_map(|axis| place.get(*axis).copied()).collect();
            // Repetitions change seeds, and nothing before these.
            key.extend(place.get(self.axes.len()).copied());
            key
        });
        Ok(all)
    }

    /// For each axis, how many nodes follow from what it sets.
    fn downstream(&self, prompt: &Prompt, registry: &Registry) -> Outcome<Vec<usize>> {
        let known = Known(registry);
        let addresses = Addresses::new(prompt, &known);
        let mut users: HashMap<&NodeId, Vec<&NodeId>> = HashMap::new();
        for (id, node) in &prompt.nodes {
            for from in node.inputs.values().filter_map(|given| given.source()) {
                users.entry(from).or_default().push(id);
            }
        }
        let mut inputs = HashSet::new();
        let count = |axis: &Axis| {
            let wrong = |why: String| Stop::wrong(format!("--axis '{}': {why}", axis.address));
            let (node, input) = addresses.find(&axis.address).map_err(wrong)?;
            if !inputs.insert((node, input)) {
                return Err(wrong("another axis sets the same input; give one of them".to_owned()));
            }
            let (mut seen, mut open) = (HashSet::from([node]), vec![node]);
            while let Some(id) = open.pop() {
                let users = users.get(id).into_iter().flatten();
                open.extend(users.copied().filter(|user| seen.insert(user)));
            }
            Ok(seen.len())
        };
        self.axes.iter().map(count).collect()
    }
}

/// A value as people write it.
fn text(value: &Literal) -> String {
    match value {
        Literal::Text(text) | Literal::Json(Json::String(text)) => text.clone(),
        Literal::Json(value) => value.to_string(),
    }
}

/// The cells of a file, one JSON object a line.
fn read_lines(file: &Path) -> Outcome<Vec<Map<String, Json>>> {
    let wrong = |why: String| Stop::wrong(format!("--jsonl {}: {why}", file.display()));
    let bytes = files::read(file, MAX_JSONL).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no text in UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut cells = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        cells.push(lines::read(line).map_err(|why| wrong(format!("line {} {why}", number + 1)))?);
        if cells.len() > MOST {
            return Err(wrong(format!("has more than {MOST} lines; give fewer")));
        }
    }
    if cells.is_empty() {
        return Err(wrong("has no lines; write one JSON object for each cell".to_owned()));
    }
    Ok(cells)
}
