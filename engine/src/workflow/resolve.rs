//! Follows links to the output or widget that feeds an input, through reroutes, bypassed nodes and the boundaries of
//! subgraphs.

use std::collections::{HashMap, HashSet};

use super::graph::{Graph, Graphs, INPUT_BOUNDARY, Mode, Node, Role};
use super::types::{ReadError, Remark};

/// How much work following all links of a file may take. Real files take thousands of steps; a file made to take years
/// is refused.
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
    /// Whether the instance, or one around it, is muted or bypassed.
    pub(super) off: bool,
}

/// What feeds an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Nothing,
    /// A promoted widget of an instance: its scope, node and widget.
    Widget(usize, usize, usize),
    /// An output: its scope, node and slot.
    Output(usize, usize, usize),
}

/// An input or an output of a node where it is instanced: what links are followed through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Port {
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
    Port(Port),
    End(Origin),
}

/// Follows links, and remembers what it found: long chains with many readers cost no more than their length.
pub(super) struct Resolver<'a> {
    graphs: &'a Graphs,
    scopes: &'a [Scope],
    /// The scope that an instance's node opens.
    inner: &'a HashMap<(usize, usize), usize>,
    /// The nodes that set a name, by scope and name.
    setters: HashMap<(usize, String), usize>,
    known: HashMap<Port, (Origin, Option<Origin>)>,
    /// How much may still be looked at, in ports and bytes of types.
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

    /// Whether nothing in a scope runs.
    pub(super) fn is_off(&self, scope: usize) -> bool {
        self.scopes[scope].off
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
    ) -> Result<(Origin, Option<Origin>), ReadError> {
        let mut port = Port { scope, node, side: Side::Input, slot, want: None };
        let mut path: Vec<(Port, Option<Origin>)> = Vec::new();
        let mut visited = HashSet::new();
        let (source, mut fallback) = loop {
            if let Some(found) = self.known.get(&port) {
                break found.clone();
            }
            self.work(64 + port.want.as_ref().map_or(0, String::len))?;
            let unwanted = (port.scope, port.node, port.side, port.slot);
            if !visited.insert(unwanted) {
                let id = self.id(port.scope, port.node);
                self.remarks.push(Remark::warning(&id, "its links lead back to itself; they are taken as unconnected"));
                break (Origin::Nothing, None);
            }
            let crossed = self.promoted(&port);
            let next = self.next(&port)?;
            path.push((port, crossed));
            match next {
                Next::Port(next) => port = next,
                Next::End(source) => break (source, None),
            }
        };
        for (port, crossed) in path.into_iter().rev() {
            fallback = fallback.or(crossed);
            self.known.insert(port, (source.clone(), fallback.clone()));
        }
        Ok((source, fallback))
    }

    fn work(&mut self, amount: usize) -> Result<(), ReadError> {
        self.work_left = self.work_left.checked_sub(amount).ok_or_else(|| {
            ReadError::Graph("the links of the workflow are too entangled to follow: bypass fewer nodes".to_owned())
        })?;
        Ok(())
    }

    /// The promoted widget of an instance's input.
    fn promoted(&self, port: &Port) -> Option<Origin> {
        let node = self.node(port.scope, port.node);
        let is_instance = matches!(node.role, Role::Instance(_)) && port.side == Side::Input;
        let widget = node.inputs.get(port.slot).filter(|_| is_instance)?.widget?;
        Some(Origin::Widget(port.scope, port.node, widget))
    }

    fn next(&mut self, port: &Port) -> Result<Next, ReadError> {
        match port.side {
            Side::Input => Ok(self.behind_input(port)),
            Side::Output => self.behind_output(port),
        }
    }

    fn behind_input(&mut self, port: &Port) -> Next {
        let graph = self.graph(port.scope);
        let node = &graph.nodes[port.node];
        let Some(slot) = node.inputs.get(port.slot) else { return Next::End(Origin::Nothing) };
        let Some(id) = &slot.link else { return Next::End(Origin::Nothing) };
        let Some(link) = graph.links.get(id) else {
            return self.dangling(port, &format!("input `{}` has the link {id}, which the file lacks", slot.name));
        };
        let want = port.want.clone().unwrap_or_else(|| slot.ty.clone());
        if link.origin == INPUT_BOUNDARY && !graph.by_id.contains_key(INPUT_BOUNDARY) {
            return match self.scopes[port.scope].parent {
                Some((scope, instance)) => self.outwards(scope, instance, link.origin_slot, want),
                None => self.dangling(port, &format!("input `{}` is linked to a boundary outside of all", slot.name)),
            };
        }
        let Some(&origin) = graph.by_id.get(&link.origin) else {
            let text = format!("input `{}` is linked to node {}, which the file lacks", slot.name, link.origin);
            return self.dangling(port, &text);
        };
        let next =
            Port { scope: port.scope, node: origin, side: Side::Output, slot: link.origin_slot, want: Some(want) };
        Next::Port(next)
    }

    /// From inside an instance to what feeds its input.
    fn outwards(&self, scope: usize, instance: usize, slot: usize, want: String) -> Next {
        let node = self.node(scope, instance);
        let own_values = self.graph_of(node).is_some_and(|graph| graph.location.is_some());
        match node.inputs.get(slot) {
            Some(input) if input.link.is_some() => {
                Next::Port(Port { scope, node: instance, side: Side::Input, slot, want: Some(want) })
            }
            // A group node's values are in its inner nodes.
            Some(input) if own_values => {
                Next::End(input.widget.map_or(Origin::Nothing, |widget| Origin::Widget(scope, instance, widget)))
            }
            _ => Next::End(Origin::Nothing),
        }
    }

    fn graph_of(&self, node: &Node) -> Option<&'a Graph> {
        if let Role::Instance(graph) = node.role { self.graphs.all.get(graph) } else { None }
    }

    fn behind_output(&mut self, port: &Port) -> Result<Next, ReadError> {
        let node = self.node(port.scope, port.node);
        let want = port.want.as_deref().unwrap_or("*");
        let input = |slot: usize, want: Option<&str>| {
            let want = want.map(str::to_owned);
            Next::Port(Port { scope: port.scope, node: port.node, side: Side::Input, slot, want })
        };
        if node.mode == Mode::Bypassed {
            self.work(node.inputs.iter().map(|slot| slot.ty.len() + 8).sum::<usize>() + want.len())?;
            return Ok(bypass(node, port.slot, want).map_or(Next::End(Origin::Nothing), |slot| input(slot, None)));
        }
        Ok(match node.role {
            Role::Real => Next::End(Origin::Output(port.scope, port.node, port.slot)),
            Role::Instance(_) => self.inwards(port, want)?,
            Role::GetNode => self.wireless(port, node, want),
            Role::SetNode => input(0, Some(want)),
            _ if node.inputs.get(port.slot).is_some_and(|slot| slot.link.is_some()) => input(port.slot, Some(want)),
            _ => Next::End(Origin::Nothing),
        })
    }

    /// From an instance's output to what feeds it inside.
    fn inwards(&mut self, port: &Port, want: &str) -> Result<Next, ReadError> {
        let nothing = Ok(Next::End(Origin::Nothing));
        let Some(&scope) = self.inner.get(&(port.scope, port.node)) else { return nothing };
        let graph = self.graph(scope);
        let ends = graph.outputs.get(port.slot).map(|output| output.links.as_slice()).unwrap_or_default();
        let Some((dead, link)) = ends.iter().enumerate().find_map(|(dead, id)| Some((dead, graph.links.get(id)?)))
        else {
            self.work(8 * ends.len())?;
            return nothing;
        };
        self.work(8 * dead)?;
        if link.origin == INPUT_BOUNDARY && !graph.by_id.contains_key(INPUT_BOUNDARY) {
            return Ok(self.outwards(port.scope, port.node, link.origin_slot, want.to_owned()));
        }
        Ok(match graph.by_id.get(&link.origin) {
            Some(&node) => Next::Port(Port {
                scope,
                node,
                side: Side::Output,
                slot: link.origin_slot,
                want: Some(want.to_owned()),
            }),
            None => self.dangling(
                port,
                &format!("its output {} comes from node {}, which the file lacks", port.slot, link.origin),
            ),
        })
    }

    /// From a `GetNode` to the `SetNode` of its name, in its own graph or the nearest one around it.
    fn wireless(&mut self, port: &Port, node: &Node, want: &str) -> Next {
        let Some(name) = wireless(node) else { return self.dangling(port, "it has no name to get") };
        let mut scope = Some(port.scope);
        while let Some(place) = scope {
            if let Some(&setter) = self.setters.get(&(place, name.to_owned())) {
                let want = Some(want.to_owned());
                return Next::Port(Port { scope: place, node: setter, side: Side::Input, slot: 0, want });
            }
            scope = self.scopes[place].parent.map(|(parent, _)| parent);
        }
        self.dangling(port, &format!("no `SetNode` sets `{}`", name.escape_debug()))
    }

    fn dangling(&mut self, port: &Port, what: &str) -> Next {
        let id = self.id(port.scope, port.node);
        self.remarks.push(Remark::warning(&id, format!("{what}: it is taken as unconnected")));
        Next::End(Origin::Nothing)
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
    // The input with the output's index wins, even if nothing is linked to it.
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
