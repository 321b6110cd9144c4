//! The search for the first node that parts, with few looks: what needs a node that differs is taken to differ, too, and what an equal one
//! needs to be equal.

use redraft_engine::prompt::NodeId;

use super::probes::{Needs, Probe};

/// Finds the first probe that differs, among those that `end` needs. `order` has sources first. `differs` looks at one.
///
/// # Returns
/// The probe, and the looks that were equal; nothing if all are equal.
///
/// # Errors
/// Those of `differs`.
pub(super) fn first<E>(
    order: Vec<Probe>,
    needs: &Needs,
    end: &NodeId,
    mut differs: impl FnMut(&Probe) -> Result<bool, E>,
) -> Result<Option<Probe>, E> {
    let mut open: Vec<Probe> = order.into_iter().filter(|probe| needs.needs(end, &probe.node)).collect();
    let mut suspect = None;
    while !open.is_empty() {
        let probe = open.remove(open.len() / 2);
        if differs(&probe)? {
            open.retain(|other| needs.needs(&probe.node, &other.node));
            suspect = Some(probe);
        } else {
            open.retain(|other| !needs.needs(&probe.node, &other.node));
        }
    }
    Ok(suspect)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redraft_engine::node::Registry;
    use redraft_engine::prompt::{Given, Prompt, PromptNode};

    use super::super::probes::probes;
    use super::*;

    /// Pictures in two chains, 0 to 7 and 10 to 17, that meet in the end.
    fn chains() -> Prompt {
        let mut prompt = Prompt::default();
        let mut add = |id: String, from: &[String]| {
            let inputs = from.iter().enumerate().map(|(n, from)| (format!("image{n}"), Given::link(from.as_str(), 0)));
            let node = PromptNode { class_type: "ImageInvert".to_owned(), inputs: inputs.collect(), title: None };
            prompt.nodes.insert(id.into(), node);
        };
        for n in 0..8 {
            for chain in [0, 10] {
                let from = if n == 0 { Vec::new() } else { vec![(chain + n - 1).to_string()] };
                add((chain + n).to_string(), &from);
            }
        }
        add("end".to_owned(), &["7".to_owned(), "17".to_owned()]);
        prompt
    }

    #[test]
    fn the_first_node_is_found_wherever_it_is() {
        let prompt = chains();
        let registry = Registry::linked().unwrap();
        let order: Vec<NodeId> = prompt.nodes.keys().cloned().collect();
        let (needs, end) = (Needs::of(&prompt, &order), NodeId::from("end"));
        let all = probes(&prompt, &registry, &order);
        assert_eq!(all.len(), order.len());
        for culprit in &order {
            let mut looks = 0;
            let differs = |probe: &Probe| -> Result<bool, ()> {
                looks += 1;
                Ok(needs.needs(&probe.node, culprit))
            };
            let found = first(all.clone(), &needs, &end, differs).unwrap();
            assert_eq!(found.map(|probe| probe.node).as_ref(), Some(culprit));
            assert!(looks <= 10, "{culprit}: {looks}");
        }
        assert_eq!(first(all, &needs, &end, |_| Ok::<_, ()>(false)), Ok(None));
    }
}
