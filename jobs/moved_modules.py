"""Modules of Seedfold that have moved, by the name that they had first.

A name outlives the file that it was given to: it stands in study files, in the descriptions of jobs, in results and in
submissions that wait in a queue. Old names go on working (see `seedfold`), and ids are made from the oldest name. A
process that imports Seedfold from a snapshot of the code, which may be from before a move, is told the oldest name as
well. Whoever moves such a module adds a line here; a new module never takes a name that stands on the left.
"""

from __future__ import annotations

from functools import lru_cache

MOVED: dict[str, str] = {
    f"seedfold.{old}": f"seedfold.{new}"
    for old, new in {
        "jobs.canonical": "jobs.canonical_json",
        "jobs.edges": "jobs.stage_parents",
        "jobs.evaluate": "jobs.value_evaluation",
        "jobs.explain": "jobs.job_differences",
        "jobs.grammar": "jobs.axis_values",
        "jobs.moved": "jobs.moved_modules",
        "jobs.paths": "jobs.absolute_paths",
        "jobs.patterns": "jobs.key_patterns",
        "jobs.prevalence": "trainers.studies.prevalence_shifts.deployment_weights",
        "jobs.records": "jobs.description_lines",
        "jobs.scaling": "jobs.learning_rates",
        "jobs.schema": "jobs.stages",
        "jobs.settings": "jobs.config_dataclasses",
        "orchestrator.local": "orchestrator.schedulers.local",
        "orchestrator.lsf": "orchestrator.schedulers.lsf",
        "orchestrator.lsf.plugin": "orchestrator.schedulers.lsf.submitit_plugin",
        "orchestrator.lsf.seat": "orchestrator.schedulers.lsf.worker_environment",
        "orchestrator.probe": "orchestrator.dispatch.node_probe",
        "orchestrator.scheduled": "orchestrator.schedulers.advance",
        "orchestrator.seat": "orchestrator.worker.local_task",
        "orchestrator.slurm": "orchestrator.schedulers.slurm",
        "orchestrator.slurm.seat": "orchestrator.schedulers.slurm.worker_environment",
        "results.averaging": "results.evaluation.averaging",
        "results.axes": "results.evaluation.axes",
        "results.blend": "results.ensembles.blend_weights",
        "results.blend_figure": "results.stages.blend_figure",
        "results.blend_members": "results.ensembles.blend_members",
        "results.blend_stage": "results.stages.blend",
        "results.curves": "results.evaluation.curves",
        "results.ensemble": "results.ensembles.mean_ensemble",
        "results.ensemble_figures": "results.stages.top_heads_figures",
        "results.ensemble_stage": "results.stages.top_heads",
        "results.export": "results.tables.export",
        "results.figure_files": "results.stages.figure_files",
        "results.figures": "results.report.figures",
        "results.folds": "results.evaluation.folds",
        "results.headline": "results.report.headline",
        "results.history": "results.evaluation.learning_curves",
        "results.integrity": "results.store.integrity",
        "results.left_figures": "results.report.embedded_figures",
        "results.mask_figures": "trainers.studies.dark_side.mask_figures",
        "results.mask_results": "trainers.studies.dark_side.mask_results",
        "results.mean_stage": "results.stages.mean",
        "results.members": "results.ensembles.head_members",
        "results.metrics": "results.store.metrics",
        "results.oof": "results.evaluation.out_of_fold",
        "results.oof_figures": "results.stages.out_of_fold_figures",
        "results.overlaps": "results.evaluation.overlaps",
        "results.parents": "results.evaluation.parent_jobs",
        "results.passes": "results.stages.augmentation_passes",
        "results.plots": "results.report.plots",
        "results.pooled": "results.report.out_of_fold_section",
        "results.pooling": "results.evaluation.pooling",
        "results.predictions": "results.store.predictions",
        "results.prevalence.costs": "results.prevalence.decision_metrics",
        "results.prevalence.means": "results.prevalence.table_means",
        "results.prevalence.members": "results.prevalence.mean_predictions",
        "results.prevalence.scaling": "results.prevalence.resampling",
        "results.query": "results.evaluation.query",
        "results.run": "results.store.finished_job",
        "results.submission": "results.stages.submission",
        "results.submission_figures": "results.stages.submission_figures",
        "results.top_members": "results.ensembles.top_members",
        "results.values": "results.store.values",
        "results.whole": "results.store.atomic_files",
        "trainers.augment": "trainers.augmentation.batches",
        "trainers.build": "trainers.setup.object_builder",
        "trainers.checkpointing": "trainers.learning.training_state",
        "trainers.checkpoints": "trainers.learning.checkpoint_files",
        "trainers.classical": "trainers.learning.classical",
        "trainers.classifier": "trainers.learning.classifier",
        "trainers.data.balance": "trainers.data.fold_balance",
        "trainers.data.cache": "trainers.data.image_cache",
        "trainers.data.cadences": "trainers.studies.seti.cadences",
        "trainers.data.dealing": "trainers.data.stratified_parts",
        "trainers.data.example": "trainers.data.tfrecord_example",
        "trainers.data.files": "trainers.data.file_inputs",
        "trainers.data.kept_files": "trainers.data.resumable_files",
        "trainers.data.loading": "trainers.data.job_data",
        "trainers.data.manifest": "trainers.studies.prevalence_shifts.manifest",
        "trainers.data.metadata": "trainers.studies.melanoma.metadata",
        "trainers.data.partial_cache": "trainers.studies.prevalence_shifts.partial_cache",
        "trainers.data.published": "trainers.data.upstream_files",
        "trainers.data.reading": "trainers.data.source_reader",
        "trainers.data.seismic": "trainers.studies.dark_side.seismic",
        "trainers.data.slice_files": "trainers.studies.dark_side.slice_files",
        "trainers.data.slices": "trainers.studies.dark_side.slices",
        "trainers.data.tfrecord_files": "trainers.data.tfrecord_framing",
        "trainers.data.tfrecords": "trainers.data.tfrecord_samples",
        "trainers.data.volumes": "trainers.studies.mgmt.volumes",
        "trainers.efficientnet": "trainers.models.efficientnet",
        "trainers.exported": "trainers.learning.exported_weights",
        "trainers.fit_masks": "trainers.stages.fit_masks",
        "trainers.fit_predict": "trainers.stages.fit_predict",
        "trainers.history": "trainers.learning.metric_history",
        "trainers.kept": "trainers.learning.kept_weights",
        "trainers.loggers": "trainers.learning.loggers",
        "trainers.logits": "trainers.learning.logits",
        "trainers.losses": "trainers.learning.losses",
        "trainers.make_data": "trainers.studies.sample_data",
        "trainers.mask_transforms": "trainers.augmentation.mask_transforms",
        "trainers.models.deep_supervision": "trainers.studies.mgmt.deep_supervision",
        "trainers.module": "trainers.learning.learner",
        "trainers.networks": "trainers.models.networks",
        "trainers.overlap": "trainers.learning.overlap_loss",
        "trainers.pretrained": "trainers.models.pretrained",
        "trainers.process": "trainers.setup.process_limits",
        "trainers.program": "trainers.programs",
        "trainers.program.config": "trainers.programs.job_config",
        "trainers.program.module": "trainers.programs.program_function",
        "trainers.program.output": "trainers.programs.output_folder",
        "trainers.randomness": "trainers.setup.randomness",
        "trainers.ranks": "trainers.setup.ranks",
        "trainers.schedules": "trainers.learning.schedules",
        "trainers.segmenter": "trainers.learning.segmenter",
        "trainers.settings": "trainers.setup.settings",
        "trainers.stages.create": "trainers.studies.prevalence_shifts.create_stage",
        "trainers.stages.describe": "trainers.studies.melanoma.describe_stage",
        "trainers.stages.infer": "trainers.studies.dark_side.infer_stage",
        "trainers.stages.mean_masks": "trainers.studies.dark_side.mean_masks_stage",
        "trainers.stages.preprocess": "trainers.studies.prevalence_shifts.preprocess_stage",
        "trainers.stages.slices": "trainers.studies.dark_side.slices_stage",
        "trainers.stages.split": "trainers.studies.prevalence_shifts.split_stage",
        "trainers.training": "trainers.learning.training",
        "trainers.transforms": "trainers.augmentation.transforms",
        "trainers.validation": "trainers.learning.validation",
    }.items()
}
"""The module's name now by its oldest name."""

NAMES_BETWEEN: dict[str, str] = {
    f"seedfold.trainers.studies.seti.{name}": f"seedfold.trainers.data.{new}"
    for name, new in {
        "tfrecord_example": "tfrecord_example",
        "tfrecord_files": "tfrecord_framing",
        "tfrecords": "tfrecord_samples",
    }.items()
}
"""The module's name now by a name that it had in between."""

_CURRENT_NAMES = MOVED | NAMES_BETWEEN
_OLDEST_NAMES = {new: old for old, new in MOVED.items()}
_OLDEST_NAMES |= {name: _OLDEST_NAMES[new] for name, new in NAMES_BETWEEN.items()}


@lru_cache(maxsize=4096)
def oldest_name(dotted: str) -> str:
    """Return the name that a module, or something in a module, had first."""
    return _replace_module(dotted, _OLDEST_NAMES)


@lru_cache(maxsize=4096)
def current_name(dotted: str) -> str:
    """Return the name that a module, or something in a module, has now."""
    return _replace_module(dotted, _CURRENT_NAMES)


def _replace_module(dotted: str, names: dict[str, str]) -> str:
    """Replace the longest beginning of ``dotted`` that is one of ``names``."""
    module = dotted
    while module:
        if module in names:
            return names[module] + dotted[len(module) :]
        module = module.rpartition(".")[0]
    return dotted
