//! Models merged part by part: one table, a row for each class.

use redraft_engine::cx::Cx;
use redraft_engine::io::{Args, Field, Literal, Widget};
use redraft_engine::linkme;
use redraft_engine::node::{CLASSES, Class, Node, Run, Traits};
use redraft_engine::schema::{Beyond, Input, Kind, Schema};

use crate::files::merge::Factors;
use crate::recipes::Model;

/// A class: the parts of a network, each of which has a ratio.
struct Row {
    class: &'static str,
    category: &'static str,
    /// What the class is for.
    description: &'static str,
    parts: &'static [Part],
}

/// Names of weights, by what they begin with.
enum Part {
    One(&'static str),
    /// A number between two texts, counted from 0.
    Each(&'static str, usize, &'static str),
}

use Part::{Each, One};

const SPECIFIC: &str = "advanced/model_merging/model_specific";

const UNET: &[Part] = &[
    One("time_embed."),
    One("label_emb."),
    Each("input_blocks.", 12, "."),
    Each("middle_block.", 3, "."),
    Each("output_blocks.", 12, "."),
    One("out."),
];

const SDXL: &[Part] = &[
    One("time_embed."),
    One("label_emb."),
    Each("input_blocks.", 9, ""),
    Each("middle_block.", 3, ""),
    Each("output_blocks.", 9, ""),
    One("out."),
];

macro_rules! sd3 {
    ($blocks:literal) => {
        &[
            One("pos_embed."),
            One("x_embedder."),
            One("context_embedder."),
            One("y_embedder."),
            One("t_embedder."),
            Each("joint_blocks.", $blocks, "."),
            One("final_layer."),
        ]
    };
}

macro_rules! cosmos {
    ($blocks:literal) => {
        &[
            One("pos_embedder."),
            One("extra_pos_embedder."),
            One("x_embedder."),
            One("t_embedder."),
            One("affline_norm."),
            Each("blocks.block", $blocks, "."),
            One("final_layer."),
        ]
    };
}

macro_rules! cosmos_predict2 {
    ($blocks:literal) => {
        &[
            One("pos_embedder."),
            One("x_embedder."),
            One("t_embedder."),
            One("t_embedding_norm."),
            Each("blocks.", $blocks, "."),
            One("final_layer."),
        ]
    };
}

const AURAFLOW: &[Part] = &[
    One("init_x_linear."),
    One("positional_encoding"),
    One("cond_seq_linear."),
    One("register_tokens"),
    One("t_embedder."),
    Each("double_layers.", 4, "."),
    Each("single_layers.", 32, "."),
    One("modF."),
    One("final_linear."),
];

const FLUX: &[Part] = &[
    One("img_in."),
    One("time_in."),
    One("guidance_in"),
    One("vector_in."),
    One("txt_in."),
    Each("double_blocks.", 19, "."),
    Each("single_blocks.", 38, "."),
    One("final_layer."),
];

const MOCHI: &[Part] = &[
    One("pos_frequencies."),
    One("t_embedder."),
    One("t5_y_embedder."),
    One("t5_yproj."),
    Each("blocks.", 48, "."),
    One("final_layer."),
];

const LTXV: &[Part] = &[
    One("patchify_proj."),
    One("adaln_single."),
    One("caption_projection."),
    Each("transformer_blocks.", 28, "."),
    One("scale_shift_table"),
    One("proj_out."),
];

const WAN: &[Part] = &[
    One("patch_embedding."),
    One("time_embedding."),
    One("time_projection."),
    One("text_embedding."),
    One("img_emb."),
    Each("blocks.", 40, "."),
    One("head."),
];

const QWEN_IMAGE: &[Part] = &[
    One("pos_embeds."),
    One("img_in."),
    One("txt_norm."),
    One("txt_in."),
    One("time_text_embed."),
    Each("transformer_blocks.", 60, "."),
    One("proj_out."),
];

const fn specific(class: &'static str, parts: &'static [Part]) -> Row {
    let description = "Merges two models of one family, each part of the network in a ratio of its own. What belongs to no part is merged \
                       in the first one's ratio.";
    Row { class, category: SPECIFIC, description, parts }
}

const ROWS: [Row; 16] = [
    Row {
        class: "ModelMergeBlocks",
        category: "advanced/model_merging",
        description: "Merges two models, the blocks on the way down, in the middle and on the way up each in a ratio of their own. What \
                      belongs to none of them, such as what the network makes of the noise level, is merged in the first ratio.",
        parts: &[One("input"), One("middle"), One("out")],
    },
    specific("ModelMergeSD1", UNET),
    specific("ModelMergeSD2", UNET),
    specific("ModelMergeSDXL", SDXL),
    specific("ModelMergeSD3_2B", sd3!(24)),
    specific("ModelMergeSD35_Large", sd3!(38)),
    specific("ModelMergeAuraflow", AURAFLOW),
    specific("ModelMergeFlux1", FLUX),
    specific("ModelMergeMochiPreview", MOCHI),
    specific("ModelMergeLTXV", LTXV),
    specific("ModelMergeCosmos7B", cosmos!(28)),
    specific("ModelMergeCosmos14B", cosmos!(36)),
    specific("ModelMergeCosmosPredict2_2B", cosmos_predict2!(28)),
    specific("ModelMergeCosmosPredict2_14B", cosmos_predict2!(36)),
    Row {
        description: "Merges two models of Wan, each part of the network in a ratio of its own. The small model has 30 blocks, the large \
                      one 40; models that are shown pictures have img_emb, too. What belongs to no part is merged in the first ratio.",
        ..specific("ModelMergeWAN2_1", WAN)
    },
    specific("ModelMergeQwenImage", QWEN_IMAGE),
];

impl Row {
    /// What the names of each part's weights begin with; the inputs are named so.
    fn begins(&self) -> Vec<String> {
        let of = |part: &Part| match part {
            One(name) => vec![(*name).to_owned()],
            Each(before, count, behind) => (0..*count).map(|number| format!("{before}{number}{behind}")).collect(),
        };
        self.parts.iter().flat_map(of).collect()
    }
}

/// A node of the class in a row.
struct MergeParts<const ROW: usize> {
    model1: Model,
    model2: Model,
    /// What names begin with, and how much of the first model such weights have; in declared order.
    ratios: Vec<(String, f64)>,
}

impl<const ROW: usize> Node for MergeParts<ROW> {
    fn schema() -> Schema {
        let row = &ROWS[ROW];
        let model = |name: &str, tooltip: &str| input(name, Model::kind(Widget::default()), tooltip);
        let mut inputs = vec![
            model("model1", "The model whose sampling settings the merged one keeps."),
            model("model2", "The model that is merged with it."),
        ];
        let ratio = Widget {
            default: Some(Literal::Float(1.0)),
            min: Some(Literal::Float(0.0)),
            max: Some(Literal::Float(1.0)),
            step: Some(Literal::Float(0.01)),
            ..Widget::default()
        };
        inputs.extend(row.begins().into_iter().map(|begin| {
            let tooltip = format!("How much of the first model weights have whose names begin with {begin}");
            Input { beyond: Beyond::Both, ..input(&begin, f64::kind(ratio.clone()), &tooltip) }
        }));
        Schema {
            class: row.class.to_owned(),
            display_name: row.class.to_owned(),
            category: row.category.to_owned(),
            description: row.description.to_owned(),
            inputs,
            ..Schema::default()
        }
    }

    fn traits() -> Traits {
        Traits::default()
    }

    fn from_args(args: &mut Args) -> anyhow::Result<Self> {
        let ratios = ROWS[ROW].begins().into_iter().map(|begin| args.take(&begin).map(|ratio| (begin, ratio)));
        let ratios = ratios.collect::<anyhow::Result<_>>()?;
        Ok(Self { model1: args.take("model1")?, model2: args.take("model2")?, ratios })
    }
}

fn input(name: &str, kind: Kind, tooltip: &str) -> Input {
    Input {
        name: name.to_owned(),
        kind,
        optional: false,
        lazy: false,
        force_input: false,
        raw_link: false,
        beyond: Beyond::Nowhere,
        tooltip: tooltip.to_owned(),
    }
}

/// The ratio of the longest of the beginnings that a name has; the first ratio if it has none of them.
fn ratio(ratios: &[(String, f64)], name: &str) -> f64 {
    let fitting = ratios.iter().filter(|(begin, _)| name.starts_with(begin));
    fitting.max_by_key(|(begin, _)| begin.len()).or(ratios.first()).map_or(1.0, |(_, ratio)| *ratio)
}

impl<const ROW: usize> Run for MergeParts<ROW> {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        self.model1.merged(&self.model2, |name| Factors::ratio(ratio(&self.ratios, name)))
    }
}

macro_rules! register {
    ($($row:literal)*) => { $(const _: () = {
        // How linkme places a static counts as unsafe code.
        #[allow(unsafe_code)]
        #[linkme::distributed_slice(CLASSES)]
        #[linkme(crate = redraft_engine::linkme)]
        static CLASS: fn() -> Class = Class::of::<MergeParts<$row>>;
    };)* };
}
register!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_counts() {
        let ratios = [("input_blocks.1", 0.1), ("input_blocks.10", 0.2), ("out.", 0.3), ("output_blocks.1.", 0.4)];
        let ratios = ratios.map(|(begin, ratio)| (begin.to_owned(), ratio));
        for (name, expected) in [
            ("input_blocks.1.0.weight", 0.1),
            ("input_blocks.11.0.weight", 0.1),
            ("input_blocks.10.0.weight", 0.2),
            ("out.2.bias", 0.3),
            ("output_blocks.1.0.weight", 0.4),
            ("output_blocks.10.0.weight", 0.1),
            ("time_embed.0.weight", 0.1),
        ] {
            assert_eq!(ratio(&ratios, name), expected, "{name}");
        }
    }

    #[test]
    fn every_row_is_registered() {
        let registered = CLASSES.iter().map(|class| class().schema.class);
        let found = registered.filter(|class| ROWS.iter().any(|row| row.class == class)).count();
        assert_eq!(found, ROWS.len());
    }
}
