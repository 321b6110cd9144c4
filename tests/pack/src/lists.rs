//! Lists: as one value, and as what a socket carries.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{List, Value, Wildcard};
use redraft_engine::node::Run;

use crate::types::Accumulation;

/// Adds a value to the end of a list, or begins one.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Accumulate")]
struct TestAccumulateNode {
    to_add: Wildcard,
    accumulation: Option<Accumulation>,
}

impl Run for TestAccumulateNode {
    type Out = Accumulation;

    fn run(self, _: &mut Cx) -> anyhow::Result<Accumulation> {
        let mut list = self.accumulation.map(|list| list.0).unwrap_or_default();
        list.push(self.to_add.0);
        Ok(Accumulation(list))
    }
}

/// The first value of a list, and the list without it.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Accumulation Head")]
struct TestAccumulationHeadNode {
    accumulation: Accumulation,
}

impl Run for TestAccumulationHeadNode {
    type Out = (Accumulation, Wildcard);

    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        let mut list = self.accumulation.0;
        let first = if list.is_empty() { Value::nothing() } else { list.remove(0) };
        Ok((Accumulation(list), Wildcard(first)))
    }
}

/// The last value of a list, and the list without it.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Accumulation Tail")]
struct TestAccumulationTailNode {
    accumulation: Accumulation,
}

impl Run for TestAccumulationTailNode {
    type Out = (Option<Accumulation>, Wildcard);

    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        let mut list = self.accumulation.0;
        Ok(match list.pop() {
            Some(last) => (Some(Accumulation(list)), Wildcard(last)),
            None => (None, Wildcard(Value::wire(Accumulation(list)))),
        })
    }
}

/// Sends the values of a list one by one.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Accumulation to List")]
struct TestAccumulationToListNode {
    accumulation: Accumulation,
}

impl Run for TestAccumulationToListNode {
    type Out = List<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<List<Wildcard>> {
        Ok(List(self.accumulation.0.into_iter().map(Wildcard).collect()))
    }
}

/// Makes one list of all values that come.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "List to Accumulation")]
struct TestListToAccumulationNode {
    list: List<Wildcard>,
}

impl Run for TestListToAccumulationNode {
    type Out = Accumulation;

    fn run(self, _: &mut Cx) -> anyhow::Result<Accumulation> {
        Ok(Accumulation(self.list.0.into_iter().map(|value| value.0).collect()))
    }
}

/// How many values a list has.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Accumulation Get Length")]
struct TestAccumulationGetLengthNode {
    accumulation: Accumulation,
}

impl Run for TestAccumulationGetLengthNode {
    type Out = i64;

    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(i64::try_from(self.accumulation.0.len())?)
    }
}

/// The place of a value in a list; negative numbers count from the end.
fn place(list: &[Value], index: i64) -> anyhow::Result<usize> {
    let from_end = if index < 0 { i64::try_from(list.len())? } else { 0 };
    let place = usize::try_from(index + from_end).ok().filter(|place| *place < list.len());
    place.ok_or_else(|| anyhow::anyhow!("there is no value {index} in a list of {}; use another index", list.len()))
}

/// One value of a list.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Accumulation Get Item")]
struct TestAccumulationGetItemNode {
    accumulation: Accumulation,
    #[input(default = 0, step = 1)]
    index: i64,
}

impl Run for TestAccumulationGetItemNode {
    type Out = Wildcard;

    fn run(self, _: &mut Cx) -> anyhow::Result<Wildcard> {
        let list = self.accumulation.0;
        let place = place(&list, self.index)?;
        Ok(Wildcard(list[place].clone()))
    }
}

/// A list with another value in one place.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Accumulation Set Item")]
struct TestAccumulationSetItemNode {
    accumulation: Accumulation,
    #[input(default = 0, step = 1)]
    index: i64,
    value: Wildcard,
}

impl Run for TestAccumulationSetItemNode {
    type Out = Accumulation;

    fn run(self, _: &mut Cx) -> anyhow::Result<Accumulation> {
        let mut list = self.accumulation.0;
        let place = place(&list, self.index)?;
        list[place] = self.value.0;
        Ok(Accumulation(list))
    }
}

/// Sends the values that it is given one by one.
#[derive(Node)]
#[node(category = "Testing/Lists", display = "Make List")]
struct TestMakeListNode {
    value1: Wildcard,
    value2: Option<Wildcard>,
    value3: Option<Wildcard>,
    value4: Option<Wildcard>,
    value5: Option<Wildcard>,
    value6: Option<Wildcard>,
    value7: Option<Wildcard>,
    value8: Option<Wildcard>,
    value9: Option<Wildcard>,
}

impl Run for TestMakeListNode {
    type Out = List<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<List<Wildcard>> {
        let more =
            [self.value2, self.value3, self.value4, self.value5, self.value6, self.value7, self.value8, self.value9];
        Ok(List(std::iter::once(self.value1).chain(more.into_iter().flatten()).collect()))
    }
}
