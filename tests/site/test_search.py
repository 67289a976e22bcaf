"""Search finds, among the first three, the page that answers what a learner types."""

import gzip
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

DESCENT = "auto_examples/plot_01_gradient_descent"
CONSTRUCT = "auto_examples/plot_02_construct"
ATTRIBUTES = "auto_examples/plot_03_attributes"
CLEARING = "auto_examples/plot_04_zero_grad"
STEP = "auto_examples/plot_05_step"
GROUPING = "auto_examples/plot_06_add_param_group"
STATE_DICT = "auto_examples/plot_07_state_dict"
TRAINING = "auto_examples/plot_08_one_network"
NETWORKS = "auto_examples/plot_09_several_networks"
LAYERS = "auto_examples/plot_10_chosen_layers"
SCHEDULES = "auto_examples/plot_11_lr_schedulers"
RESUME = "auto_examples/plot_12_resume"
WHY = "auto_examples/plot_13_momentum_adam"
ADAMW = "auto_examples/plot_14_adamw"
WHICH = "auto_examples/plot_15_which_optimizer"
CLIPPING = "auto_examples/plot_16_clip_amp_nan"
MEMORY = "auto_examples/plot_17_speed_memory"
AVERAGING = "auto_examples/plot_18_ema_swa"
LBFGS = "auto_examples/plot_19_closures_lbfgs"
TUTORIALS = "auto_examples/index"
START = "start"
GLOSSARY = "glossary"
GROUPS = "reference/groups"
INSPECTION = "reference/inspection"
CHECKPOINT = "reference/checkpoint"
PROMISES = "promises"
ERRORS = Path(__file__).parents[2] / "docs" / "errors"
CODES = Path(__file__).parents[2] / "src" / "optimkit" / "_codes"

QUERIES = {
    "en": [
        ("learning rate too large", DESCENT),
        ("why does training diverge", DESCENT),
        ("gradient descent from scratch", DESCENT),
        ("what is an optimizer", DESCENT, GLOSSARY, CONSTRUCT),
        ("curvature", DESCENT),
        ("loss goes to infinity", DESCENT),
        ("mini-batch", DESCENT, GLOSSARY, TRAINING),
        ("can't optimize a non-leaf Tensor", DESCENT, CONSTRUCT),
        ("optimizer got an empty parameter list", CONSTRUCT),
        ("leaf tensor", CONSTRUCT, GLOSSARY),
        ("what may be passed to an optimizer", CONSTRUCT),
        ("param_groups", ATTRIBUTES, GROUPS, GROUPING),
        ("optimizer defaults", ATTRIBUTES),
        ("optimizer state", ATTRIBUTES, STATE_DICT, INSPECTION),
        ("state is empty", ATTRIBUTES),
        ("exp_avg", ATTRIBUTES, STEP),
        ("which optimizer needs most memory", MEMORY, ATTRIBUTES, INSPECTION),
        ("zero_grad", CLEARING),
        ("why zero the gradients", CLEARING),
        ("gradients accumulate", CLEARING),
        ("gradient accumulation", CLEARING),
        ("set_to_none", CLEARING),
        ("when to call zero_grad", CLEARING),
        ("grad is None", CLEARING, STEP),
        ("optimizer.step()", STEP, SCHEDULES),
        ("bias correction", STEP),
        ("momentum buffer", STEP, ATTRIBUTES),
        ("Adam first step", STEP),
        ("write Adam by hand", STEP),
        ("Adagrad RMSprop", STEP, ATTRIBUTES),
        ("exponential moving average", STEP, GLOSSARY),
        ("add_param_group", GROUPING, GROUPS),
        ("parameter groups", GROUPING, GROUPS, ATTRIBUTES),
        ("weight decay on bias", GROUPS, GROUPING, ADAMW),
        ("layer-wise learning rate", GROUPING, GROUPS),
        ("gradual unfreezing", GROUPING, LAYERS),
        ("load_state_dict", STATE_DICT, CHECKPOINT),
        ("state_dict of an optimizer", STATE_DICT),
        ("training loop with validation", TRAINING),
        ("train two networks with one optimizer", NETWORKS),
        ("GAN", NETWORKS),
        ("freeze layers", LAYERS, GROUPS),
        ("train only some layers", LAYERS),
        ("ReLU before CrossEntropyLoss", LAYERS),
        ("learning rate scheduler", SCHEDULES),
        ("warm-up", SCHEDULES),
        ("cosine annealing", SCHEDULES),
        ("OneCycleLR", SCHEDULES),
        ("resume training", RESUME, CHECKPOINT),
        ("save a checkpoint", RESUME, CHECKPOINT),
        ("all tutorials", TUTORIALS),
        ("how to install", START),
        # In a learner's own words.
        ("exploding gradients", CLIPPING, DESCENT, LAYERS),
        ("state memory", MEMORY, INSPECTION),
        ("out of memory adam", MEMORY, INSPECTION, ATTRIBUTES),
        ("optimzer step", STEP, SCHEDULES),
        ("learnig rate schedular", SCHEDULES),
        ("add_parm_group", GROUPING, GROUPS),
        ("unfreeze later", LAYERS, GROUPS),
        ("get_last_lr", SCHEDULES),
        ("Trying to backward through the graph a second time", CLEARING),
        ("loss does not go down", TRAINING, DESCENT, INSPECTION),
        ("model does not train", INSPECTION, TRAINING, LAYERS),
        ("optimizer does not update weights", INSPECTION, CONSTRUCT, ATTRIBUTES, LAYERS),
        ("changing lr in defaults does nothing", ATTRIBUTES),
        ("how do I change the learning rate during training", SCHEDULES, ATTRIBUTES),
        ("different learning rate for each layer", GROUPING, GROUPS),
        ("discriminative learning rates", GROUPS, GROUPING),
        ("no weight decay for layernorm", GROUPS, GROUPING, ADAMW),
        ("does zero_grad delete gradients", CLEARING),
        ("accumulate gradients over several batches", CLEARING),
        ("why is grad None after zero_grad", CLEARING),
        ("what does optimizer.step do", STEP),
        ("how does adam work", STEP, WHY),
        ("epsilon in adam", STEP),
        ("momentum explained", STEP, WHY),
        ("is a step the negative gradient", STEP),
        ("save optimizer state and load it", STATE_DICT, RESUME, CHECKPOINT),
        ("state_dict does not match size of group", STATE_DICT),
        ("loaded state dict contains a parameter group that doesn't match the size", STATE_DICT),
        ("resume from checkpoint exactly the same", RESUME),
        ("random seed after resume", RESUME, CHECKPOINT),
        ("save rng state", RESUME, CHECKPOINT),
        ("train only the last layer", LAYERS),
        ("requires_grad False still changes", LAYERS),
        ("freeze batchnorm", LAYERS, GROUPS),
        ("fine-tune pretrained network", LAYERS, GROUPING),
        ("scheduler step before optimizer step warning", SCHEDULES),
        ("scheduler per batch or per epoch", SCHEDULES),
        ("reduce lr on plateau", SCHEDULES),
        ("cosine with warm restarts", SCHEDULES),
        ("plot the learning rate", SCHEDULES, INSPECTION),
        ("two optimizers for one model", NETWORKS, CONSTRUCT),
        ("train generator and discriminator", NETWORKS),
        ("share parameters between networks", NETWORKS, GROUPING),
        ("validation accuracy loop", TRAINING),
        ("model.train and model.eval", TRAINING),
        ("shuffle dataloader", TRAINING),
        ("crossentropy with softmax twice", LAYERS, TRAINING),
        ("named parameters optimizer", CONSTRUCT, GROUPS),
        ("can't optimize a non-leaf tensor", CONSTRUCT),
        ("generator is exhausted empty parameter list", CONSTRUCT),
        ("inspect optimizer", INSPECTION, ATTRIBUTES),
        ("print param groups as table", INSPECTION, ATTRIBUTES, CONSTRUCT),
        ("compare two optimizers", INSPECTION, STEP),
        ("corrupted checkpoint file", CHECKPOINT, PROMISES),
        ("kill during save", CHECKPOINT, PROMISES, RESUME),
        ("keep best checkpoints", CHECKPOINT, RESUME),
        ("sharded checkpoint distributed", CHECKPOINT),
        ("gradient clipping", CLIPPING, LAYERS, TRAINING, INSPECTION),
        ("muon optimizer", GROUPS, NETWORKS),
        ("lbfgs", LBFGS, CHECKPOINT, STEP, INSPECTION),
        ("loss is NaN", CLIPPING, "symptoms/numbers"),
        ("GradScaler", CLIPPING, "symptoms/numbers"),
        ("EMA of the weights", AVERAGING),
        ("fused optimizer faster", MEMORY),
        ("what is lr", DESCENT, GLOSSARY, SCHEDULES, ATTRIBUTES),
        ("change lr mid-training", SCHEDULES, ATTRIBUTES),
        ("default betas of adam", ATTRIBUTES, CONSTRUCT, STEP),
        ("optimizer for two models", NETWORKS, CONSTRUCT),
        ("save best model", CHECKPOINT, RESUME),
        ("continue training after crash", RESUME, CHECKPOINT),
        ("bias no weight decay", GROUPS, GROUPING, ADAMW),
        ("adamw param groups", GROUPS, GROUPING, ATTRIBUTES, ADAMW),
        ("view optimizer parameters", INSPECTION, ATTRIBUTES, CONSTRUCT),
        ("loss nan", DESCENT),
        ("unfreeze layers after few epochs", LAYERS, GROUPING),
        ("loss.backward accumulates", CLEARING),
        ("retain graph error", CLEARING),
        ("why my weights don't change", INSPECTION, CONSTRUCT, LAYERS),
        ("scheduler state dict", RESUME, SCHEDULES, CHECKPOINT),
        ("linear warmup then cosine decay", SCHEDULES),
        ("sgd vs adam", STEP, WHICH),
        ("adam or adamw", ADAMW),
        ("why does momentum help", WHY),
        ("which optimizer should i use", WHICH),
        ("lr range test", WHICH),
        ("amsgrad", ATTRIBUTES, CONSTRUCT, STEP),
        ("optimizer.zero_grad vs model.zero_grad", CLEARING),
        ("detach vs data", STEP),
        ("layerwise decay ViT", GROUPS),
        ("how big is the optimizer state", INSPECTION, ATTRIBUTES),
        ("freeze backbone", LAYERS, GROUPS),
        ("duplicate parameters warning", GROUPING, CONSTRUCT),
        ("maximise instead of minimise", CONSTRUCT, STEP, ATTRIBUTES),
        ("learning rate finder", DESCENT, SCHEDULES, WHICH),
        ("pickle checkpoint safe", CHECKPOINT, PROMISES),
        ("different order of parameters after loading", STATE_DICT, CHECKPOINT),
        ("iterate over param_groups to set lr", ATTRIBUTES, SCHEDULES),
    ],
    "zh": [
        ("学习率太大", DESCENT),
        ("训练发散", DESCENT),
        ("梯度下降", DESCENT),
        ("什么是优化器", DESCENT, GLOSSARY, CONSTRUCT),
        ("从零写梯度下降", DESCENT),
        ("曲率", DESCENT),
        ("小批量", DESCENT, CLEARING, GLOSSARY, TRAINING),
        ("学习率多大合适", DESCENT, WHICH),
        ("叶子张量", CONSTRUCT, GLOSSARY),
        ("定义优化器", CONSTRUCT),
        ("可学习参数", CONSTRUCT, GLOSSARY),
        ("优化器的属性", ATTRIBUTES),
        ("优化器状态", ATTRIBUTES, INSPECTION, STATE_DICT),
        ("defaults 有什么用", ATTRIBUTES),
        ("state 是空的", ATTRIBUTES),
        ("param_groups", ATTRIBUTES, GROUPS, GROUPING),
        ("梯度清零", CLEARING),
        ("为什么要清空梯度", CLEARING),
        ("zero_grad", CLEARING),
        ("梯度累加", CLEARING),
        ("梯度累积", CLEARING),
        ("set_to_none", CLEARING),
        ("忘记清零", CLEARING),
        ("梯度为 None", CLEARING, STEP),
        ("偏差修正", STEP),
        ("动量缓冲区", STEP, ATTRIBUTES),
        ("Adam 的第一步", STEP),
        ("手写 Adam", STEP),
        ("指数移动平均", STEP, GLOSSARY),
        ("自适应学习率", STEP, GLOSSARY),
        ("一阶矩", STEP, GLOSSARY),
        ("参数组", GROUPING, GROUPS, ATTRIBUTES),
        ("参数分组", GROUPING, GROUPS, ATTRIBUTES),
        ("偏置不做权重衰减", GROUPS, GROUPING, ADAMW),
        ("add_param_group", GROUPING, GROUPS),
        ("逐层学习率", GROUPING, GROUPS),
        ("状态字典", STATE_DICT, GLOSSARY),
        ("load_state_dict", STATE_DICT, CHECKPOINT),
        ("训练循环", TRAINING),
        ("同时优化多个网络", NETWORKS),
        ("判别器", NETWORKS),
        ("冻结", LAYERS, GROUPS, GLOSSARY),
        ("只训练某些层", LAYERS),
        ("交叉熵", LAYERS, GLOSSARY),
        ("学习率调度器", SCHEDULES),
        ("调整学习率", SCHEDULES),
        ("余弦退火", SCHEDULES, GLOSSARY),
        ("预热", SCHEDULES, GLOSSARY),
        ("断点续训", RESUME),
        ("恢复训练", RESUME, CHECKPOINT, GLOSSARY),
        ("保存检查点", RESUME, CHECKPOINT),
        ("教程", TUTORIALS),
        ("安装", START),
        # In a learner's own words.
        ("为什么改了 defaults 里的学习率没有效果", ATTRIBUTES),
        ("模型不更新", INSPECTION, LAYERS, CONSTRUCT, ATTRIBUTES),
        ("学习率怎么调", SCHEDULES),
        ("warmup 预热", SCHEDULES),
        ("优化器 保存", STATE_DICT, RESUME, CHECKPOINT),
        ("optimizer.step() 有什么用", STEP),
        ("显存不够", INSPECTION, ATTRIBUTES),
        ("归一化", GROUPS, GROUPING, LAYERS),
        ("校验和", CHECKPOINT, PROMISES),
        ("学习率", SCHEDULES, DESCENT),
        ("索引", CONSTRUCT, ATTRIBUTES, INSPECTION),
        ("过拟合", TRAINING, LAYERS),
        ("损失不下降", TRAINING, DESCENT, INSPECTION),
        ("参数没有变化", INSPECTION, LAYERS, CONSTRUCT),
        ("训练途中改学习率", SCHEDULES, ATTRIBUTES),
        ("每一层用不同的学习率", GROUPING, GROUPS),
        ("偏置不衰减", GROUPS, GROUPING, ADAMW),
        ("zero_grad 是不是把梯度删掉了", CLEARING),
        ("多个批次累积梯度再更新", CLEARING),
        ("梯度变成 None 了", CLEARING),
        ("Adam 是怎么工作的", STEP, WHY),
        ("eps 有什么用", STEP),
        ("动量是什么", STEP, WHY),
        ("步长等于负梯度吗", STEP),
        ("保存优化器状态再加载", STATE_DICT, RESUME, CHECKPOINT),
        ("参数组大小不匹配", STATE_DICT),
        ("恢复训练后结果不一样", RESUME, CHECKPOINT),
        ("随机数种子 恢复", RESUME, CHECKPOINT),
        ("只训练最后一层", LAYERS),
        ("requires_grad 设成 False 还在变", LAYERS),
        ("冻结 BatchNorm", LAYERS, GROUPS),
        ("微调预训练模型", LAYERS, GROUPING),
        ("scheduler.step 应该放在哪里", SCHEDULES),
        ("每个 epoch 还是每个 batch 调用", SCHEDULES),
        ("验证损失不降就减小学习率", SCHEDULES),
        ("带重启的余弦", SCHEDULES),
        ("画出学习率曲线", SCHEDULES, INSPECTION),
        ("一个模型两个优化器", NETWORKS, CONSTRUCT),
        ("生成器和判别器轮流训练", NETWORKS),
        ("两个网络共享参数", NETWORKS, GROUPING),
        ("验证集准确率", TRAINING),
        ("model.eval 有什么用", TRAINING),
        ("交叉熵前面要不要加 softmax", LAYERS, TRAINING),
        ("非叶子张量不能优化", CONSTRUCT),
        ("参数列表为空", CONSTRUCT),
        ("查看优化器里有什么", INSPECTION, ATTRIBUTES),
        ("对比两个优化器", INSPECTION, STEP),
        ("文件损坏", CHECKPOINT, PROMISES),
        ("保存到一半被杀掉", CHECKPOINT, PROMISES, RESUME),
        ("保留最好的几个检查点", CHECKPOINT, RESUME),
        ("分布式检查点", CHECKPOINT),
        ("混合精度", CLIPPING, GLOSSARY),
        ("权重平均", AVERAGING, GLOSSARY),
        ("梯度裁剪", CLIPPING, LAYERS, TRAINING, INSPECTION),
        ("模型不收敛", DESCENT, TRAINING),
        ("學習率調度器", SCHEDULES),
        ("優化器狀態", ATTRIBUTES, INSPECTION, STATE_DICT),
        ("梯度爆炸", CLIPPING, DESCENT, LAYERS),
        ("学习绿", DESCENT, SCHEDULES),
        ("优化期", CONSTRUCT, ATTRIBUTES, DESCENT, GLOSSARY),
        ("损失震荡", DESCENT),
        ("梯度不清零会怎么样", CLEARING),
        ("adam 默认参数", ATTRIBUTES, CONSTRUCT, STEP),
        ("怎么知道优化器里有哪些参数", INSPECTION, ATTRIBUTES, CONSTRUCT),
        ("lr 设置多少", DESCENT),
        ("怎么让学习率先升后降", SCHEDULES),
        ("训练中断了怎么继续", RESUME, CHECKPOINT),
        ("怎么保存最优模型", CHECKPOINT, RESUME),
        ("预训练模型只训练分类头", LAYERS),
        ("param_groups 怎么用", ATTRIBUTES, GROUPING, GROUPS),
        ("优化器能不能传两个模型的参数", NETWORKS, CONSTRUCT),
        ("参数组怎么加名字", GROUPS, GROUPING, CONSTRUCT),
        ("模型权重没动", INSPECTION, CONSTRUCT, LAYERS),
        ("GAN 训练", NETWORKS),
        ("batch 太小显存不够怎么办", CLEARING, INSPECTION),
        ("load_state_dict 报错", STATE_DICT),
        ("先冻结后解冻", LAYERS, GROUPS),
        ("sgd 和 adam 哪个好", STEP, WHICH),
        ("Adam 和 AdamW 的区别", ADAMW),
        ("动量为什么有用", WHY),
        ("用哪个优化器", WHICH),
        ("批大小和学习率", WHICH),
        ("优化器是不是复制了参数", CONSTRUCT),
        ("手动修改学习率", ATTRIBUTES, SCHEDULES),
        ("学习率预热怎么写", SCHEDULES),
        ("调度器状态要不要保存", RESUME, SCHEDULES, CHECKPOINT),
        ("模型保存和加载", CHECKPOINT, RESUME, STATE_DICT),
        ("权重衰减不要作用在 LayerNorm 上", GROUPS, GROUPING, ADAMW),
        ("梯度累加和梯度累积", CLEARING),
        ("为什么第一步特别大", STEP),
        ("验证时要不要 no_grad", TRAINING),
        ("优化器占内存", INSPECTION, ATTRIBUTES),
        ("学习率为零会怎样", LAYERS, DESCENT, SCHEDULES),
        ("参数名字对不上", CHECKPOINT, STATE_DICT),
        ("step 和 backward 的顺序", TRAINING, STEP, CLEARING),
    ],
}
TRANSLATED = {"en": ("梯度累积", CLEARING), "zh": ("gradient accumulation", CLEARING)}
"""A term of the glossary in the other site's language, and the page that is about it."""
LEAST = {"en": 130, "zh": 130}
NONE = {"en": "Nothing found", "zh": "没有找到"}

# The words of an article that it shows, and those that are hidden until a reader asks for both.
WORDS = """(language) => {
  const split = new Intl.Segmenter(language, { granularity: "word" });
  const words = (text) => [...split.segment(text)].filter((one) => one.isWordLike).map((one) => one.segment);
  const page = document.querySelector("article").cloneNode(true);
  const hidden = [...page.querySelectorAll(".bi-other")];
  const other = hidden.flatMap((one) => words(one.textContent));
  for (const one of hidden) one.remove();
  return [page.textContent.toLowerCase(), other.map((word) => word.toLowerCase())];
}"""


# The words of prose that a page shows.
SHOWN = """() => {
  const page = document.querySelector("article").cloneNode(true);
  for (const one of page.querySelectorAll(".bi-other, pre, .tutorial-card")) one.remove();
  return page.textContent;
}"""


class Search:
    """The theme's search dialog, used as a reader uses it, with the clock in our hands.

    The site answers when the reader pauses. On a slow machine the time between two keys is a pause
    too, and the answer to half a query comes in between: so time stands still while keys are typed.
    """

    def __init__(self, page):
        self.page = page
        self.box = page.locator("#pst-search-dialog")
        self.input = self.box.locator("input")
        self.results = self.box.locator(".search-results a")
        self.status = self.box.locator(".search-status")

    def type(self, query):
        """Type a query and wait for its answer."""
        self.input.fill("")
        self.page.clock.run_for(1000)
        self.page.wait_for_function(
            "!document.querySelector('#pst-search-dialog :is(.search-results a, .search-status:not(:empty))')"
        )
        self.page.keyboard.type(query)
        self.page.clock.run_for(1000)
        self.box.locator(".search-results a, .search-status:not(:empty)").first.wait_for()

    def pages(self, query):
        """Return the pages found for a query, best first."""
        self.type(query)
        addresses = self.results.evaluate_all("all => all.map((one) => one.href)")
        paths = [re.search(r"/(?:en|zh)/([^#?]*)", address)[1] for address in addresses]
        return [re.sub(r"(^|/)$", r"\1index", path.removesuffix(".html")) for path in paths]


@pytest.fixture
def search(visit, site):
    """Open the dialog on a page of the site."""

    def search(language, where="index.html"):
        page = visit(f"{language}/{where}")
        page.keyboard.press("Control+k")
        found = Search(page)
        found.input.wait_for()
        page.wait_for_function("window.searchIndex")
        page.clock.install()
        page.clock.pause_at(4102444800)
        return found

    return search


@pytest.mark.parametrize("language", QUERIES)
def test_queries_find_their_page(search, site, language):
    """At least 95 of 100 queries find their page among the first three results."""
    misses, asked = [], 0
    dialog = search(language)
    for query, *wanted in QUERIES[language]:
        if not any((site.root / language / f"{page}.html").exists() for page in wanted):
            continue
        asked += 1
        found = dialog.pages(query)[:3]
        if not set(found) & set(wanted):
            misses.append(f"{query}: {[Path(page).name for page in found]}, not {wanted}")
    assert asked >= LEAST[language]
    assert len(misses) <= 0.05 * asked, "\n".join([f"{len(misses)} of {asked} missed", *misses])


@pytest.mark.parametrize("language", QUERIES)
def test_terms_of_the_other_language_find_their_page(search, language):
    """A term typed in the other language finds what the glossary calls it here."""
    query, wanted = TRANSLATED[language]
    assert wanted in search(language).pages(query)[:3]


@pytest.mark.parametrize("language", QUERIES)
def test_nothing_found_is_said(search, language):
    """A query without a result is answered in the page's language, and the query is repeated."""
    dialog = search(language)
    dialog.type("qwxzqwxz")
    expect(dialog.results).to_have_count(0)
    expect(dialog.status).to_have_text(re.compile(f"^{NONE[language]}.*qwxzqwxz"))


@pytest.mark.parametrize("language", QUERIES)
def test_other_language_is_not_found(search, still, site, language):
    """A word that a site has only in the blocks of the other language is not in its index."""
    shown, hidden = "", set()
    for path in sorted((site.root / language).rglob("*.html")):
        if path.name == "search.html":
            continue
        address = path.relative_to(site.root).as_posix()
        text, words = still(address).evaluate(WORDS, {"en": "zh", "zh": "en"}[language])
        shown += text
        hidden |= set(words)
    foreign = re.compile({"en": "[\u4e00-\u9fff]{2,}", "zh": "[a-z]{5,}"}[language])
    only = sorted(word for word in hidden if foreign.fullmatch(word) and word not in shown)
    assert len(only) > 50
    dialog = search(language)
    for word in only[:: len(only) // 10]:
        dialog.type(word)
        marked = dialog.results.locator("mark").all_inner_texts()
        assert [found for found in marked if word in found.lower()] == []


def test_dialog_opens_on_each_kind_of_page(search, kind_of_page):
    """The dialog opens from each kind of page, by its button as by its keys, and finds from there."""
    language, _, where = kind_of_page.partition("/")
    dialog = search(language, where=where)
    assert CLEARING in dialog.pages("zero_grad")
    dialog.page.keyboard.press("Escape")
    expect(dialog.box).to_be_hidden()
    dialog.page.locator(".search-button__button:visible").first.click()
    expect(dialog.input).to_be_visible()
    assert CLEARING in dialog.pages("zero_grad")


@pytest.mark.parametrize("language", QUERIES)
def test_dialog_is_accessible(search, violations, language):
    """The dialog with its results, and with none, breaks no rule of accessibility."""
    dialog = search(language)
    for query in ("Adam", "qwxzqwxz"):
        dialog.type(query)
        dialog.page.clock.resume()
        assert violations(dialog.page) == []


# The dialog has the colour of the page, and nothing shines through.
PAINTED = """() => {
  const [own, page] = ["#pst-search-dialog", "body"]
    .map((one) => getComputedStyle(document.querySelector(one)).backgroundColor);
  return own === page && own.startsWith("rgb(");
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", QUERIES)
def test_dialog_hides_the_page_behind_it(search, language, theme):
    """The dialog paints its whole box: a pixel of it is not the dimmed page's."""
    dialog = search(language)
    dialog.page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    dialog.type("Adam")
    dialog.page.wait_for_function(PAINTED)


@pytest.mark.parametrize("language", QUERIES)
def test_arrow_keys(search, language):
    """Down goes from the box to the first result and the next, up goes back as far as the box."""
    dialog = search(language)
    dialog.type("Adam")
    expect(dialog.results.nth(1)).to_be_visible()
    down = [dialog.results.nth(0), dialog.results.nth(1)]
    for key, focused in zip(
        ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"),
        (*down, down[0], dialog.input),
        strict=True,
    ):
        dialog.page.keyboard.press(key)
        expect(focused).to_be_focused()


@pytest.mark.parametrize("language", QUERIES)
def test_enter_goes_to_the_first_result(search, language):
    """Enter in the box opens the first result, at the heading that it names."""
    dialog = search(language)
    dialog.type("zero_grad")
    first = dialog.results.first.evaluate("one => one.href")
    dialog.page.keyboard.press("Enter")
    dialog.page.wait_for_url(first)


@pytest.mark.parametrize("language", QUERIES)
def test_results_lead_to_sections(search, site, language):
    """Nearly all results name a section that is there, in the reader's language, with words of prose."""
    dialog = search(language)
    foreign = re.compile({"en": "[\u4e00-\u9fff]", "zh": "$^"}[language])
    anchors = []
    for query in ("momentum", "param_groups", "Adam", "scheduler.step", "checkpoint"):
        dialog.type(query)
        for result in dialog.results.all():
            address = result.evaluate("one => one.href").removeprefix(site.url)
            path, _, anchor = address.partition("#")
            anchors.append(anchor)
            assert site.fetch(path)[0] == 200
            assert not anchor or anchor in site.ids(path), address
            title = result.locator("strong").inner_text()
            assert not title.endswith("#")
            assert not foreign.search(title)
            assert not re.search(
                r"plt\.|print\(|>>> |assert .*==", result.locator("span").inner_text()
            )
    assert sum(map(bool, anchors)) >= 0.9 * len(anchors)


@pytest.mark.parametrize(
    "word",
    [
        "归一化",
        "校验和",
        "校验",
        "索引",
        "优化器",
        "预热",
        "断点续训",
        "权重衰减",
        "原子",
        "學習率",
        "優化器",
    ],
)
def test_words_that_stand_on_a_page_are_found(search, still, site, word):
    """A Chinese word that is on a page is found, whole, and no message says anything else."""
    folded = {"學習率": "学习率", "優化器": "优化器"}.get(word, word)
    pages = [path.relative_to(site.root / "zh") for path in (site.root / "zh").rglob("*.html")]
    texts = {
        page.with_suffix("").as_posix(): still(f"zh/{page.as_posix()}").evaluate(SHOWN)
        for page in pages
        if page.stem not in ("coverage", "genindex", "search")
    }
    having = {page for page, text in texts.items() if folded in text}
    dialog = search("zh")
    found = dialog.pages(word)
    assert set(found[:3]) & having or not having
    expect(dialog.status).to_have_text("" if having else f"没有找到 “{word}”")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optimzer", "optimizer"),
        ("learnig rate schedular", "scheduler"),
        ("add_parm_group", "add_param_group"),
    ],
)
def test_a_slip_of_the_keys_is_forgiven(search, typed, meant):
    """A word with a letter too few finds what was meant, and is not said to be there."""
    dialog = search("en")
    dialog.type(typed)
    expect(dialog.results.first).to_contain_text(meant, ignore_case=True)
    expect(dialog.status).to_have_text("Closest matches")


@pytest.mark.parametrize("language", QUERIES)
def test_index_is_light(site, language):
    """What one query loads is at most 120 kB compressed."""
    assert len(gzip.compress(site.fetch(f"{language}/_static/search-index.js")[1])) <= 120_000


@pytest.mark.parametrize("language", QUERIES)
def test_search_page_answers_its_address(visit, language):
    """The search page answers the query in its address, and the keys lead into its own box."""
    page = visit(f"{language}/search.html?q=zero_grad")
    first = page.locator("article .search-results li").first
    expect(first.locator("a[href*=plot_04_zero_grad]")).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.locator("article input[name=q]")).to_be_focused()
    expect(page.locator("article input[name=q]")).to_have_value("zero_grad")


def pasted():
    """Return the messages of torch that have an entry, each with the title of its entry."""
    found = []
    for page in sorted(ERRORS.glob("*.md")):
        for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            title, text = section.split("\n", 1)
            for message in re.findall(r"^```text\n(.+)", text, flags=re.MULTILINE)[:1]:
                found.append((message, title.strip("` ")))
    return found


@pytest.mark.parametrize("language", QUERIES)
def test_a_message_of_torch_leads_to_its_entry(search, language):
    """Whoever pastes an error or a warning of torch.optim finds its entry first."""
    dialog = search(language)
    misses = []
    messages = pasted()[::6]
    assert len(messages) >= 20
    for message, title in messages:
        dialog.type(message)
        first = dialog.results.first.inner_text()
        if title not in first:
            misses.append(f"{message}: {first}")
    assert not misses, "\n".join(misses)


@pytest.mark.parametrize("language", QUERIES)
def test_a_code_of_audit_leads_to_its_entry(search, language):
    """Whoever types a code that audit has printed finds its entry among the first three."""
    dialog = search(language)
    misses = []
    for page in sorted(CODES.glob("*.md")):
        for code in re.findall(r"^## `(.+)`$", page.read_text("utf-8"), flags=re.MULTILINE)[::3]:
            dialog.type(code)
            found = dialog.results.evaluate_all("all => all.slice(0, 3).map((one) => one.href)")
            if not any(url.endswith(f"/audit/{page.stem}.html#{code}") for url in found):
                misses.append(f"{code}: {found}")
    assert not misses, "\n".join(misses)
