"""Keys of the context, each defined once.

Upstream names (`src_imgs`, `target_sample_idx`, `G`, `C`, ...) are those of pytorch-adapt.
"""

SRC = "src"
TARGET = "target"
DOMAINS = (SRC, TARGET)

SRC_LABELS = "src_labels"
TARGET_LABELS = "target_labels"
TARGET_KNOWN_LABELS = "target_known_labels"
TARGET_SAMPLE_IDX = "target_sample_idx"
TARGET_PSEUDO_LABELS = "target_pseudo_labels"
TARGET_PSEUDO_WEIGHTS = "target_pseudo_weights"
TARGET_CLASS_PROBS = "target_class_probs"
PROGRESS = "progress"

G = "G"
C = "C"
MARGIN_METRIC = "margin_metric"
MI_CRITIC = "mi_critic"
MI_BRANCH = "mi_branch"
MI_ESTIMATOR = "mi_estimator"
PSEUDO_LABELER = "pseudo_labeler"
SOURCE_ACCURACY = "source_accuracy"
SOURCE_KAPPA = "source_kappa"  # value of `source_accuracy` before the step, a number on the host
TRAINING_PROGRESS = "training_progress"

MARGIN_METRIC_LOSS = "margin_metric_loss"
MI_LOSS = "mi_loss"
MI_ESTIMATOR_LOSS = "mi_estimator_loss"
MI_BRANCH_LOSS = "mi_branch_loss"
CLASSIFICATION_LOSS = "src_c_loss"
TARGET_CLASSIFICATION_LOSS = "target_c_loss"
MCC_LOSS = "mcc_loss"
CONSISTENCY_LOSS = "consistency_loss"


def imgs(domain: str) -> str:
    """`src` -> `src_imgs`."""
    return f"{domain}_imgs"


def features(domain: str) -> str:
    """`src` -> `src_imgs_features`."""
    return f"{domain}_imgs_features"


def logits(domain: str) -> str:
    """`src` -> `src_imgs_features_logits`."""
    return f"{domain}_imgs_features_logits"


def augmented(domain: str) -> str:
    """`src` -> `src_imgs_augmented`, augmented copies of the images that a batch may supply."""
    return f"{domain}_imgs_augmented"


def network_input(domain: str) -> str:
    """`src` -> `src_imgs_input`, the input of G: the images, some of them augmented."""
    return f"{domain}_imgs_input"


def is_augmented(domain: str) -> str:
    """`src` -> `src_imgs_is_augmented`, whether each image is augmented."""
    return f"{domain}_imgs_is_augmented"


def augmented_rows(domain: str) -> str:
    """`src` -> `src_imgs_augmented_rows`, indices of the augmented images, whose number is known on the host."""
    return f"{domain}_imgs_augmented_rows"


def domain_id(domain: str) -> str:
    """`src` -> `src_domain`, the domain number of each sample."""
    return f"{domain}_domain"


def landmarks(domain: str) -> str:
    """`src` -> `src_imgs_landmarks`."""
    return f"{domain}_imgs_landmarks"


def affine(domain: str) -> str:
    """`src` -> `src_imgs_affine`, affine matrices by which the images are resampled."""
    return f"{domain}_imgs_affine"


def level(domain: str, name: str) -> str:
    """`src`, `global` -> `src_imgs_level_global`."""
    return f"{domain}_imgs_level_{name}"


def level_module(key: str, name: str) -> str:
    """`margin_metric`, `global` -> `margin_metric_level_global`."""
    return f"{key}_level_{name}"
