//! What feeds an input in the end, through reroutes, bypassed nodes and the boundaries of subgraphs.

use std::collections::{HashMap, HashSet};

use super::graph::{Graph, Graphs, INPUT_BOUNDARY, Mode, Node, Role};
use super::types::{ReadError, Remark};

/// How much is looked at to follow all links of a file. What people make takes thousands; a file made to take years
/// is given up.
const MAX_WORK: usize = 1 << 28;

/// A graph where it is instanced.
#[derive(Debug)]
pub(super) struct Scope {
    /// The graph's place in [`Graphs::all`].
    pub(super) graph: usize,
    /// The scope and node that the instance is.
    pub(super) parent: Option<(usize, usize)>,
    /// What stands before the ids of its nodes.
    pub(super) prefix: String,
}

/// What feeds an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Nothing,
    /// A promoted widget of an instance: its scope, node and widget.
    Widget(usize, usize, usize),
    /// An output: its scope, node and slot.
    Output(usize, usize, usize),
}

/// One step on the way from an input to what feeds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    scope: usize,
    node: usize,
    side: Side,
    slot: usize,
    /// The type that is wanted, where it is not the slot's own.
    want: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Side {
    Input,
    Output,
}

enum Next {
    Step(Step),
    End(Source),
}

/// Follows links, and remembers what it found: long chains with many readers cost no more than their length.
pub(super) struct Resolver<'a> {
    graphs: &'a Graphs,
    scopes: &'a [Scope],
    /// The scope that an instance's node opens.
    inner: &'a HashMap<(usize, usize), usize>,
    /// The nodes that set a name, by scope and name.
    setters: HashMap<(usize, String), usize>,
    known: HashMap<Step, (Source, Option<Source>)>,
    /// How much may still be looked at, in steps and bytes of types.
    work_left: usize,
    pub(super) remarks: Vec<Remark>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(graphs: &'a Graphs, scopes: &'a [Scope], inner: &'a HashMap<(usize, usize), usize>) -> Self {
        let mut setters = HashMap::new();
        for (scope, place) in scopes.iter().enumerate() {
            for (number, node) in graphs.all[place.graph].nodes.iter().enumerate() {
                if let (Role::SetNode, Some(name)) = (node.role, wireless(node)) {
                    setters.entry((scope, name.to_owned())).or_insert(number);
                }
            }
        }
        Self { graphs, scopes, inner, setters, known: HashMap::new(), work_left: MAX_WORK, remarks: Vec::new() }
    }

    pub(super) fn graph(&self, scope: usize) -> &'a Graph {
        &self.graphs.all[self.scopes[scope].graph]
    }

    fn node(&self, scope: usize, node: usize) -> &'a Node {
        &self.graph(scope).nodes[node]
    }

    /// What feeds an input, and, where that is nothing, the promoted widget of the outermost instance on the way,
    /// whose value then counts.
    ///
    /// # Errors
    /// When the links of the file take more than [`MAX_WORK`] to follow.
    pub(super) fn input(
        &mut self,
        scope: usize,
        node: usize,
        slot: usize,
    ) -> Result<(Source, Option<Source>), ReadError> {
        let mut step = Step { scope, node, side: Side::Input, slot, want: None };
        let mut path: Vec<(Step, Option<Source>)> = Vec::new();
        let mut visited = HashSet::new();
        let (source, mut fallback) = loop {
            if let Some(found) = self.known.get(&step) {
                break found.clone();
            }
            self.work(64 + step.want.as_ref().map_or(0, String::len))?;
            let unwanted = (step.scope, step.node, step.side, step.slot);
            if !visited.insert(unwanted) {
                let id = self.id(step.scope, step.node);
                self.remarks.push(Remark::warning(&id, "its links lead back to itself; they are taken as unconnected"));
                break (Source::Nothing, None);
            }
            let crossed = self.promoted(&step);
            let next = self.next(&step)?;
            path.push((step, crossed));
            match next {
                Next::Step(next) => step = next,
                Next::End(source) => break (source, None),
            }
        };
        for (step, crossed) in path.into_iter().rev() {
            fallback = fallback.or(crossed);
            self.known.insert(step, (source.clone(), fallback.clone()));
        }
        Ok((source, fallback))
    }

    fn work(&mut self, amount: usize) -> Result<(), ReadError> {
        self.work_left = self.work_left.checked_sub(amount).ok_or_else(|| {
            ReadError::Graph("the links of the workflow are too entangled to follow: bypass fewer nodes".to_owned())
        })?;
        Ok(())
    }

    /// The promoted widget of the instance's input that a step stands at.
    fn promoted(&self, step: &Step) -> Option<Source> {
        let node = self.node(step.scope, step.node);
        let is_instance = matches!(node.role, Role::Instance(_)) && step.side == Side::Input;
        let widget = node.inputs.get(step.slot).filter(|_| is_instance)?.widget?;
        Some(Source::Widget(step.scope, step.node, widget))
    }

    fn next(&mut self, step: &Step) -> Result<Next, ReadError> {
        match step.side {
            Side::Input => Ok(self.behind_input(step)),
            Side::Output => self.behind_output(step),
        }
    }

    fn behind_input(&mut self, step: &Step) -> Next {
        let graph = self.graph(step.scope);
        let node = &graph.nodes[step.node];
        let Some(slot) = node.inputs.get(step.slot) else { return Next::End(Source::Nothing) };
        let Some(id) = &slot.link else { return Next::End(Source::Nothing) };
        let Some(link) = graph.links.get(id) else {
            return self.dangling(step, &format!("input `{}` has the link {id}, which the file lacks", slot.name));
        };
        let want = step.want.clone().unwrap_or_else(|| slot.ty.clone());
        if link.origin == INPUT_BOUNDARY && !graph.by_id.contains_key(INPUT_BOUNDARY) {
            return match self.scopes[step.scope].parent {
                Some((scope, instance)) => self.outwards(scope, instance, link.origin_slot, want),
                None => self.dangling(step, &format!("input `{}` is linked to a boundary outside of all", slot.name)),
            };
        }
        let Some(&origin) = graph.by_id.get(&link.origin) else {
            let text = format!("input `{}` is linked to node {}, which the file lacks", slot.name, link.origin);
            return self.dangling(step, &text);
        };
        let next =
            Step { scope: step.scope, node: origin, side: Side::Output, slot: link.origin_slot, want: Some(want) };
        Next::Step(next)
    }

    /// From inside an instance to what feeds its input.
    fn outwards(&self, scope: usize, instance: usize, slot: usize, want: String) -> Next {
        let node = self.node(scope, instance);
        let own_values = self.graph_of(node).is_some_and(|graph| graph.source.is_some());
        match node.inputs.get(slot) {
            Some(input) if input.link.is_some() => {
                Next::Step(Step { scope, node: instance, side: Side::Input, slot, want: Some(want) })
            }
            // A group node's values are in its inner nodes.
            Some(input) if own_values => {
                Next::End(input.widget.map_or(Source::Nothing, |widget| Source::Widget(scope, instance, widget)))
            }
            _ => Next::End(Source::Nothing),
        }
    }

    fn graph_of(&self, node: &Node) -> Option<&'a Graph> {
        if let Role::Instance(graph) = node.role { self.graphs.all.get(graph) } else { None }
    }

    fn behind_output(&mut self, step: &Step) -> Result<Next, ReadError> {
        let node = self.node(step.scope, step.node);
        let want = step.want.as_deref().unwrap_or("*");
        let input = |slot: usize, want: Option<&str>| {
            let want = want.map(str::to_owned);
            Next::Step(Step { scope: step.scope, node: step.node, side: Side::Input, slot, want })
        };
        if node.mode == Mode::Bypassed {
            self.work(node.inputs.iter().map(|slot| slot.ty.len() + 8).sum::<usize>() + want.len())?;
            return Ok(bypass(node, step.slot, want).map_or(Next::End(Source::Nothing), |slot| input(slot, None)));
        }
        Ok(match node.role {
            Role::Real => Next::End(Source::Output(step.scope, step.node, step.slot)),
            Role::Instance(_) => self.inwards(step, want)?,
            Role::GetNode => self.wireless(step, node, want),
            Role::SetNode => input(0, Some(want)),
            _ if node.inputs.get(step.slot).is_some_and(|slot| slot.link.is_some()) => input(step.slot, Some(want)),
            _ => Next::End(Source::Nothing),
        })
    }

    /// From an instance's output to what feeds it inside.
    fn inwards(&mut self, step: &Step, want: &str) -> Result<Next, ReadError> {
        let nothing = Ok(Next::End(Source::Nothing));
        let Some(&scope) = self.inner.get(&(step.scope, step.node)) else { return nothing };
        let graph = self.graph(scope);
        let ends = graph.outputs.get(step.slot).map(|output| output.links.as_slice()).unwrap_or_default();
        let Some((dead, link)) = ends.iter().enumerate().find_map(|(dead, id)| Some((dead, graph.links.get(id)?)))
        else {
            self.work(8 * ends.len())?;
            return nothing;
        };
        self.work(8 * dead)?;
        if link.origin == INPUT_BOUNDARY && !graph.by_id.contains_key(INPUT_BOUNDARY) {
            return Ok(self.outwards(step.scope, step.node, link.origin_slot, want.to_owned()));
        }
        Ok(match graph.by_id.get(&link.origin) {
            Some(&node) => Next::Step(Step {
                scope,
                node,
                side: Side::Output,
                slot: link.origin_slot,
                want: Some(want.to_owned()),
            }),
            None => self.dangling(
                step,
                &format!("its output {} comes from node {}, which the file lacks", step.slot, link.origin),
            ),
        })
    }

    /// From a `GetNode` to the `SetNode` of its name, in its own graph or the nearest one around it.
    fn wireless(&mut self, step: &Step, node: &Node, want: &str) -> Next {
        let Some(name) = wireless(node) else { return self.dangling(step, "it has no name to get") };
        let mut scope = Some(step.scope);
        while let Some(place) = scope {
            if let Some(&setter) = self.setters.get(&(place, name.to_owned())) {
                let want = Some(want.to_owned());
                return Next::Step(Step { scope: place, node: setter, side: Side::Input, slot: 0, want });
            }
            scope = self.scopes[place].parent.map(|(parent, _)| parent);
        }
        self.dangling(step, &format!("no `SetNode` sets `{}`", name.escape_debug()))
    }

    fn dangling(&mut self, step: &Step, what: &str) -> Next {
        let id = self.id(step.scope, step.node);
        self.remarks.push(Remark::warning(&id, format!("{what}: it is taken as unconnected")));
        Next::End(Source::Nothing)
    }

    pub(super) fn id(&self, scope: usize, node: usize) -> String {
        format!("{}{}", self.scopes[scope].prefix, self.node(scope, node).id)
    }
}

/// The name that a `SetNode` or `GetNode` carries.
fn wireless(node: &Node) -> Option<&str> {
    node.widgets.first()?.value.as_ref()?.as_str()
}

/// The input that a bypassed node passes on to its output `slot`, where a type is wanted.
fn bypass(node: &Node, slot: usize, want: &str) -> Option<usize> {
    if want == "*" || want.is_empty() {
        return if slot < node.inputs.len() { Some(slot) } else { (!node.inputs.is_empty()).then_some(0) };
    }
    let declared = node.outputs.get(slot).map_or("*", |output| output.ty.as_str());
    let fits = |ty: &str| compatible(ty, declared) && compatible(ty, want);
    // The input of the same number wins even if nothing is linked to it.
    if node.inputs.get(slot).is_some_and(|input| fits(&input.ty)) {
        return Some(slot);
    }
    let equal = node.inputs.iter().position(|input| input.ty == want);
    equal.or_else(|| node.inputs.iter().position(|input| fits(&input.ty)))
}

/// Whether the editor would link two types: equal, one a wildcard, or with a member in common.
fn compatible(a: &str, b: &str) -> bool {
    let any = |ty: &str| ty.is_empty() || ty == "*";
    if any(a) || any(b) || a == b {
        return true;
    }
    let lower = b.to_lowercase();
    let others: HashSet<&str> = lower.split(',').collect();
    a.to_lowercase().split(',').any(|part| others.contains(part))
}
