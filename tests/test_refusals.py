"""What does not go together ends in one sentence; that every combination does: test_conf.py."""

import pytest

from zoo.config import check, compose
from zoo.errors import UserError
from zoo.refusals import RULES, compares
from zoo.schema import Schema


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trainer.max_epochs=null"], "no budget is set"),
        (
            ["data.batch_size=1"],
            "model.norm=batch: batch norm has no variance to take at one sample a device; type "
            "model.norm=group, group_ws, frn or online, or a larger data.batch_size",
        ),
        (
            ["model.norm=online", "trainer.devices=2"],
            "model.norm=online: its statistics follow one stream of samples, and "
            "trainer.devices=2 have as many; type trainer.devices=1 or",
        ),
        (
            ["model.norm=online", "precision=169", "precision.loss_scale=dynamic"],
            "the loss scale of precision=fp169 changes between them; type precision=bf16 or",
        ),
        (["model.norm=online", "precision=fp16"], "the loss scale of precision=fp16 changes"),
        (
            ["optimizer=adamw", "optimizer.scale_from.batch_size=128"],
            "optimizer.scale_from.batch_size=128: the rule scales lr and momentum together, and "
            "optimizer=adamw has no momentum; type optimizer=sgd or",
        ),
        (["model=vgg11"], "type data.image_size=32"),
        (
            ["data=text", "data.packing=false"],
            "data.packing=False: is of data.objective=causal; type data.packing=true or data.obj",
        ),
        (
            ["data=text", "data.objective=causal", "data.mask_rate_end=0.15"],
            "data.mask_rate_end=0.15: is of data.objective=masked; type data.mask_rate_end=null or",
        ),
        (
            ["data=text", "data.objective=causal", "data.eval_lengths=[256]"],
            "data.eval_lengths=[256]: is of data.objective=masked; type data.eval_lengths=[] or",
        ),
        (
            ["data=text", "data.objective=causal", "data.bucket=true"],
            "data.bucket=True: packed blocks are all of one length; type data.bucket=false or",
        ),
        (
            [
                "data=text",
                "data.objective=causal",
                "data.packing=false",
                "data.within_documents=true",
            ],
            "data.within_documents=True: a row that is not packed holds one document; type",
        ),
        (
            [
                "data=text",
                "data.mask_rate_end=0.15",
                "trainer.max_epochs=null",
                "trainer.budget_s=9",
            ],
            "data.mask_rate_end=0.15: runs over a number of steps, and trainer.budget_s=9",
        ),
        (["data=text", "data.tokenizer=folder"], "data.tokenizer=folder data.tokenizer_folder=F"),
        (["data=text", "data.tokenizer_folder=x"], "data.tokenizer=folder data.tokenizer_folder=F"),
        (["data=text", "data.folder=x"], "data.folder=x: data.corpus=text does not read it; type"),
        (
            ["model=biomedlm", "data=digits"],
            "model=biomedlm_nano: takes running text, and data=digits is images; type data=text, or",
        ),
        (
            ["model=biomedlm", "data.objective=masked"],
            "data=text is text with masked words; type data.objective=causal, or model=mosaicbert",
        ),
        (
            ["model=mosaicbert", "data.objective=causal"],
            "data=text is running text; type data.objective=masked, or model=biomedlm",
        ),
        (
            ["model=biomedlm", "task=masked_lm"],
            "task=masked_lm: learns from text with masked words, and data=text is running text; type",
        ),
        (
            ["model=mosaicbert", "model.attention_kernel=flash"],
            "model.attention_kernel=flash: computes in 16 bits, and precision=fp32 does not; type",
        ),
        (["task.mixup=0.2", "data.batch_size=63"], "type an even number"),
        (["trainer.devices=3"], "data.batch_size=64: is shared among trainer.devices=3"),
        (
            ["trainer=fsdp", "trainer.devices=1"],
            "trainer.strategy=fsdp: shares the weights out among devices, and trainer.devices=1; type",
        ),
        (
            ["trainer=fsdp", "trainer.strategy=ddp"],
            "trainer.activation_checkpointing=True: is of trainer.strategy=fsdp, and this is",
        ),
        (["trainer=fsdp", "trainer.compile=true"], "type trainer.compile=false or trainer=ddp"),
        (["trainer=fsdp", "delay=constant"], "delay=constant: swaps whole weights, of which"),
        (["trainer=fsdp", "delay=pipeline"], "type delay=none or trainer=ddp"),
        (
            ["trainer=fsdp", "precision=169"],
            "precision=fp169: its roundings and its loss scale see",
        ),
        (["trainer=fsdp", "precision=fp16"], "type precision=fp32, precision=bf16 or trainer=ddp"),
        (
            ["trainer=fsdp", "optimizer=adaptive_braking"],
            "optimizer=adaptive_braking: may look at whole weights, of which trainer.strategy=fsdp",
        ),
        (
            ["trainer=fsdp", "optimizer=timm"],
            "type optimizer=decoupled_adamw, optimizer=adamw, opt",
        ),
        (["trainer=fsdp", "callbacks=ranges"], "callbacks=ranges: watches whole tensors, of which"),
        (["+delay.steps=3"], "delay.steps: delay=none has no such key"),
        (["delay=constant", "delay.steps=-1"], "type delay.steps=8"),
        (["delay=constant", "delay.steps=2.5"], "type delay.steps=8"),
        (["delay=constant", "delay.steps=true"], "type delay.steps=8"),
        (["delay=constant", "delay.warmup=wait"], "type delay.warmup=fill"),
        (
            ["delay=constant", "delay.steps=50", "trainer.max_steps=50"],
            "delay.steps=50: the training ends after 50 updates; type a smaller delay.steps",
        ),
        (
            ["optimizer=adaptive_braking", "optimizer.momentum=0"],
            "optimizer=adaptive_braking: without momentum there is no velocity to brake; type",
        ),
        (["delay=pipeline", "optimizer=gap_aware"], "optimizer=gap_aware: is made for one delay"),
        (
            ["delay=pipeline", "delay.prediction=velocity", "optimizer=adamw"],
            "optimizer=adamw: has no velocity along which to predict",
        ),
        (["delay=pipeline", "optimizer=lwpv_sc", "optimizer.momentum=0"], "has no velocity"),
        (
            ["delay=pipeline", "delay.prediction=weight", "optimizer=lwpv_sc"],
            "delay.prediction=weight: optimizer=lwpv_sc has one already",
        ),
        (["delay=pipeline", "precision=bf16"], "type precision=bf16_emulated or delay.stash"),
        (["delay=pipeline", "trainer.compile=true"], "type trainer.compile=false or delay.stash"),
        (["delay=pipeline", "delay.stages=0"], "type delay.stages=4"),
        (["delay=pipeline", "model.norm=group_ws"], "model.norm=group_ws: standardised weights"),
        (["optimizer=lwpv_sc"], "optimizer=lwpv_sc: predicts weights for the stages of a pipel"),
        (["optimizer=lwpv_sc", "delay=constant"], "type delay=pipeline, or optimizer=spike_comp"),
        (
            ["delay=pipeline", "optimizer=spectrain", "delay.stash_weights=true"],
            "delay.stash_weights=True: SpecTrain predicts the weights of both passes",
        ),
        (["optimizer=pipemare"], "optimizer=pipemare: corrects the backward weights of a pipeline"),
        (["optimizer=pipemare", "delay=constant"], "optimizer.correction=null for delay=constant"),
        (
            ["delay=pipeline", "optimizer=pipemare", "delay.stash_weights=true"],
            "type optimizer.correction=null or delay.stash_weights=false",
        ),
        (
            ["delay=pipeline", "optimizer=pipemare", "optimizer.prediction=velocity"],
            "type optimizer.correction=null or prediction=null",
        ),
        (["delay=pipeline", "delay.horizon=3"], "delay.horizon=3: is of a prediction"),
        (["delay=pipeline", "data.batch_size=1"], "model.norm=batch: batch norm"),
        (["optimizer=adaptive_braking_adamw", "optimizer.betas=[0,0.9]"], "no velocity to brake"),
        (
            ["optimizer=adaptive_braking", "optimizer.granularity=row"],
            "type optimizer.granularity=filter",
        ),
        (["trainer.devices=2", "trainer.budget_s=9"], "trainer.budget_s=9.0: the clocks"),
        (
            ["precision=169", "trainer.compile=true"],
            "precision=fp169: products inside a compiled model cannot be rounded; "
            "type trainer.compile=false",
        ),
        (["callbacks=ranges", "trainer.compile=true"], "callbacks=ranges: products inside"),
    ],
)
def test_what_does_not_go_together_ends_in_one_sentence(
    overrides: list[str], sentence: str
) -> None:
    config = compose(overrides)
    with pytest.raises(UserError) as caught:
        check(config)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_compare_sections() -> None:
    for rule in RULES:
        assert set(compares(rule)) <= set(Schema.model_fields), rule.__name__
