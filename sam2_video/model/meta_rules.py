"""How keys of Meta's model YAML are read: which are free, which have defaults, which are fixed."""

from typing import Any

TARGETS = (
    "sam2.modeling.sam2_base.SAM2Base",
    "sam2.sam2_video_predictor.SAM2VideoPredictor",
    "sam2.sam2_video_predictor.SAM2VideoPredictorVOS",
)
"""What `model._target_` may be; it is compared, never imported."""

TRUNK = "model.image_encoder.trunk"
_LAYER = "model.memory_attention.layer"

FREE = {
    f"{TRUNK}.embed_dim": "embed_dim",
    f"{TRUNK}.num_heads": "num_heads",
    f"{TRUNK}.stages": "blocks_per_stage",
    f"{TRUNK}.global_att_blocks": "global_attention_blocks",
    f"{TRUNK}.window_spec": "window_sizes",
    f"{TRUNK}.window_pos_embed_bkg_spatial_size": "background_size",
    "model.memory_attention.num_layers": "memory_layers",
    "model.no_obj_embed_spatial": "has_occlusion_embedding",
    "model.proj_tpos_enc_in_obj_ptrs": "has_pointer_time",
    "model.multimask_output_for_tracking": "has_tracking_hypotheses",
}
"""Key -> field of `Architecture`: the values that our network takes over."""

DEFAULTS: dict[str, Any] = {
    f"{TRUNK}.embed_dim": 96,
    f"{TRUNK}.num_heads": 1,
    f"{TRUNK}.stages": [2, 3, 16, 3],
    f"{TRUNK}.global_att_blocks": [12, 16, 20],
    f"{TRUNK}.window_spec": [8, 4, 14, 7],
    f"{TRUNK}.window_pos_embed_bkg_spatial_size": [14, 14],
    "model.image_encoder.scalp": 0,
    "model.image_encoder.neck.fpn_top_down_levels": None,
    "model.image_encoder.neck.fpn_interp_model": "bilinear",
    "model.image_encoder.neck.position_encoding.normalize": True,
    "model.image_encoder.neck.position_encoding.scale": None,
    "model.image_encoder.neck.position_encoding.temperature": 10000,
    f"{_LAYER}.self_attention.rope_theta": 10000.0,
    f"{_LAYER}.self_attention.downsample_rate": 1,
    f"{_LAYER}.cross_attention.rope_theta": 10000.0,
    f"{_LAYER}.cross_attention.downsample_rate": 1,
    f"{_LAYER}.cross_attention.rope_k_repeat": False,
    f"{_LAYER}.cross_attention.kv_in_dim": None,
    "model.memory_encoder.in_dim": 256,
    "model.memory_encoder.position_encoding.normalize": True,
    "model.memory_encoder.position_encoding.scale": None,
    "model.memory_encoder.position_encoding.temperature": 10000,
    "model.memory_encoder.mask_downsampler.embed_dim": 256,
    "model.memory_encoder.mask_downsampler.kernel_size": 4,
    "model.memory_encoder.mask_downsampler.stride": 4,
    "model.memory_encoder.mask_downsampler.padding": 0,
    "model.memory_encoder.fuser.layer.kernel_size": 7,
    "model.memory_encoder.fuser.layer.padding": 3,
    "model.memory_encoder.fuser.layer.use_dwconv": True,
    "model.num_maskmem": 7,
    "model.image_size": 512,
    "model.backbone_stride": 16,
    "model.sigmoid_scale_for_mem_enc": 1.0,
    "model.sigmoid_bias_for_mem_enc": 0.0,
    "model.add_tpos_enc_to_obj_ptrs": True,
    "model.multimask_min_pt_num": 1,
    "model.multimask_max_pt_num": 1,
    "model.max_obj_ptrs_in_encoder": 16,
} | dict.fromkeys(
    (
        f"model.{name}"
        for name in (
            "use_mask_input_as_output_without_sam",
            "directly_add_no_mem_embed",
            "no_obj_embed_spatial",
            "use_high_res_features_in_sam",
            "multimask_output_in_sam",
            "iou_prediction_use_sigmoid",
            "use_obj_ptrs_in_encoder",
            "proj_tpos_enc_in_obj_ptrs",
            "use_signed_tpos_enc_to_obj_ptrs",
            "only_obj_ptrs_in_the_past_for_eval",
            "pred_obj_scores",
            "pred_obj_scores_mlp",
            "fixed_no_obj_ptr",
            "multimask_output_for_tracking",
            "use_multimask_token_for_obj_ptr",
            "use_mlp_for_obj_ptr_proj",
        )
    ),
    False,
)
"""What Meta's code takes where a key is absent; a key that is not here must be there."""

ONLY: dict[str, Any] = {
    f"{TRUNK}.q_pool": 3,
    f"{TRUNK}.q_stride": [2, 2],
    f"{TRUNK}.dim_mul": 2.0,
    f"{TRUNK}.head_mul": 2.0,
    f"{TRUNK}.return_interm_layers": True,
    f"{TRUNK}.weights_path": None,
    "model.image_encoder.neck.kernel_size": 1,
    "model.image_encoder.neck.stride": 1,
    "model.image_encoder.neck.padding": 0,
    "model.image_encoder.neck.fuse_type": "sum",
    "model.memory_attention.batch_first": True,
    f"{_LAYER}.self_attention.rope_k_repeat": False,
    f"{_LAYER}.self_attention.kv_in_dim": None,
    "model.memory_encoder.mask_downsampler.total_stride": 16,
    "model.memory_encoder.fuser.dim": None,
    "model.memory_encoder.fuser.input_projection": False,
    "model.max_cond_frames_in_attn": -1,
    "model.memory_temporal_stride_for_eval": 1,
    "model.non_overlap_masks_for_mem_enc": False,
    "model.soft_no_obj_ptr": False,
    "model.sam_mask_decoder_extra_args": None,
    "model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability": True,
    "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta": 0.05,
    "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh": 0.98,
}
"""Keys that Meta's YAMLs leave out, with the only value that our network stands for."""

TRAINING = (
    f"{TRUNK}.drop_path_rate",
    f"{_LAYER}.dropout",
    f"{_LAYER}.self_attention.dropout",
    f"{_LAYER}.cross_attention.dropout",
    "model.memory_encoder.fuser.layer.drop_path",
)
"""Any value: rates of dropout belong to training, which has settings of its own for them."""

ELSEWHERE = (
    # Meta computes the table anew for other sizes
    f"{_LAYER}.self_attention.feat_sizes",
    f"{_LAYER}.cross_attention.feat_sizes",
    # of weights that are about to be loaded
    "model.memory_encoder.fuser.layer.layer_scale_init_value",
    # caches, compilation and post-processing of Meta's predictor
    "model.image_encoder.neck.position_encoding.warmup_cache",
    "model.memory_encoder.position_encoding.warmup_cache",
    "model.compile_image_encoder",
    "model.binarize_mask_from_pts_for_mem_enc",
    "model.fill_hole_area",
    "model.non_overlap_masks",
    "model.clear_non_cond_mem_around_input",
    "model.add_all_frames_to_correct_as_cond",
)
"""Any value: nothing that the network computes depends on it."""
