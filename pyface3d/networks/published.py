"""Published weight files: which network each is of, where it comes from, what its keys are called here. No torch.

Networks here have the names of their published files less a prefix, so that a few lines are all there is to say about
each. Names and entries were read from the files, or from the original networks built again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Original:
    """A published weight file.

    Attributes:
        files: its published names.
        source: where it comes from.
        licence: what is known of its terms; whoever has the file knows better.
        inputs: what the network takes.
        prefix: of its keys in the file, beside ``module.``, which parallel training puts before any.
        rename: from a key of the file, less prefixes, to ours; None leaves the key out.
        optional: patterns of our keys that the file may lack (stored but never run).
        companions: our keys that lie in a file beside it: file name and array name.
        only_trains: a part that only training needs: taken from a file that holds others when asked for by name.
    """

    files: tuple[str, ...]
    source: str
    licence: str
    inputs: str
    prefix: str = ""
    rename: Callable[[str], str | None] = str
    optional: tuple[str, ...] = ()
    companions: Mapping[str, tuple[str, str]] | None = None
    only_trains: bool = False


def _tddfa_key(key: str) -> str | None:
    return None if key.startswith("fc_lm.") else key.replace("fc_param.", "fc.")


def _spynet_key(key: str) -> str | None:
    # ImageNet's: buffers where the network is inside of another one, and constants here
    return None if key in ("mean", "std") or key.endswith((".spynet.mean", ".spynet.std")) else key


def _spectral_key(key: str) -> str:
    """Keys of torch's spectral norm before 1.9 as those after: the same three tensors."""
    key = key.replace(".weight_orig", ".parametrizations.weight.original")
    return re.sub(r"\.weight_([uv])$", r".parametrizations.weight.0._\1", key)


def _caffe_resnet_key(key: str) -> str:
    """``res3b2_branch2a.weight`` of Caffe's ResNet is ``layer2.2.conv1.weight`` of everybody else's."""
    layer, _, kind = key.rpartition(".")
    if layer == "bn_conv1":
        return f"bn1.{kind}"
    found = re.fullmatch(r"(res|bn)([2-5])([a-z])(\d*)_branch(1|2[abc])", layer)
    if found is None:
        return key
    what, stage, letter, digits, branch = found.groups()
    block = int(digits) if digits else ord(letter) - ord("a")
    if branch == "1":
        part = f"downsample.{0 if what == 'res' else 1}"
    else:
        part = f"{'conv' if what == 'res' else 'bn'}{'abc'.index(branch[1]) + 1}"
    return f"layer{int(stage) - 1}.{block}.{part}.{kind}"


_EXTREME3D = "github.com/anhttran/extreme_3d_faces (Tran et al. 2018)"
_CFRGAN = "github.com/yj-ju/CFR-GAN, weights of Ju et al. 2022"
_FOCUS = "github.com/unibas-gravis/Occlusion-Robust-MoFA (Li et al. 2023)"
_DECA = "deca.is.tue.mpg.de (Feng et al. 2021)"
_RETINAFACE = "github.com/biubug6/Pytorch_Retinaface, trained on WIDER FACE"
_TDDFA = "github.com/cleardusk/3DDFA_V2"
_RESEARCH = "research only, by its authors' terms"
_UNSTATED = "not stated with the file; ask its authors"

ORIGINALS: Mapping[str, Original] = {
    "extreme3d_bump_generator": Original(
        ("ckpt_109_grad.pth.tar",),
        *(_EXTREME3D, _RESEARCH, "B,3,500,500 RGB, -1…1"),
        prefix="Gnet.",
        optional=("conv_block1_16.conv_down.*",),
    ),
    "extreme3d_bump_discriminator": Original(
        ("ckpt_109_grad.pth.tar",),
        *(_EXTREME3D, _RESEARCH, "B,1,512,512 bump, -1…1"),
        prefix="Dnet.",
        only_trains=True,
    ),
    "extreme3d_shape": Original(
        ("shape_model.pth",),
        *(_EXTREME3D, _RESEARCH, "B,3,224,224 BGR, 0…255"),
        rename=_caffe_resnet_key,
        companions={"mean": ("shape_mean.npz", "arr_0")},
    ),
    "or3d_regressor": Original(
        ("trained_weights_occ_3d.pth", "th_model_params.pth", "reg_*_stage1.pth", "reg_*_stage2.pth"),
        *(_CFRGAN, _UNSTATED, "B,3,224,224 BGR, 0…1 (th_model_params.pth: 0…255)"),
    ),
    "bisenet_parsing": Original(
        ("model_final_diss.pth", "79999_iter.pth"),
        *("published face parsers in the form of BiSeNet", _UNSTATED, "B,3,512,512 RGB, ImageNet mean and deviation"),
        optional=("conv_out16.*", "conv_out32.*"),
    ),
    "irse50_identity": Original(("face_res_50.pth",), _CFRGAN, _UNSTATED, "B,3,112,112 RGB, -1…1"),
    "cfrgan_generator": Original(
        ("CFRNet_G_ep55_vgg.pth",),
        *(_CFRGAN, _UNSTATED, "two of B,3,H,W RGB, -1…1, H and W multiples of 4"),
        rename=_spectral_key,
        optional=("afd.embedding_*",),
    ),
    "cfrgan_discriminator": Original(
        ("checkpoint_ep*_it*.pth",), _CFRGAN, _UNSTATED, "B,3,224,224 RGB, -1…1", rename=_spectral_key
    ),
    "focus_encoder": Original(("enc_net_*.model",), _FOCUS, _UNSTATED, "B,3,224,224 RGB, 0…1", prefix="vgg."),
    "focus_unet": Original(
        ("unet_*.model", "unet_mask_*.model"), _FOCUS, _UNSTATED, "B,6,224,224 render and photo, RGB, 0…1"
    ),
    "focus_iresnet50": Original(
        ("backbone.pth",), "github.com/deepinsight/insightface", "non-commercial research", "B,3,112,112 RGB, -1…1"
    ),
    "deca_e_flame": Original(("deca_model.tar",), _DECA, "non-commercial research", "B,3,224,224 RGB, 0…1"),
    "deca_e_detail": Original(("deca_model.tar",), _DECA, "non-commercial research", "B,3,224,224 RGB, 0…1"),
    "deca_d_detail": Original(("deca_model.tar",), _DECA, "non-commercial research", "B,181 jaw, expression, detail"),
    **{
        name: Original(
            ("model.tar",),
            *("training of DECA's temporal successor, none released", _UNSTATED, "B,T,3,224,224 RGB, 0…1"),
            rename=_spynet_key,
            optional=("encoder.conv1.weight",),
        )
        for name in ("tv_e_flame", "tv_e_detail")
    },
    "spynet": Original(
        ("spynet_20210409-c6c1bd09.pth",),
        *("github.com/open-mmlab/mmediting (BasicVSR)", _UNSTATED, "two of B,3,H,W RGB, 0…1"),
        rename=_spynet_key,
    ),
    "tddfa_mb05": Original(
        ("mb05_120x120.pth",), _TDDFA, "MIT", "B,3,120,120 BGR, (x - 127.5) / 128", rename=_tddfa_key
    ),
    "tddfa_mb1": Original(("mb1_120x120.pth",), _TDDFA, "MIT", "B,3,120,120 BGR, (x - 127.5) / 128", rename=_tddfa_key),
    "faceboxes": Original(("FaceBoxesProd.pth",), _TDDFA, "MIT", "1,3,H,W BGR, 0…255"),
    "retinaface_mobilenet025": Original(("mobilenet0.25_Final.pth",), _RETINAFACE, "MIT", "B,3,H,W BGR, 0…255"),
    "retinaface_resnet50": Original(("Resnet50_Final.pth",), _RETINAFACE, "MIT", "B,3,H,W BGR, 0…255"),
}
