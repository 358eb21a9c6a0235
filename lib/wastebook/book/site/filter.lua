-- What Quarto's Markdown has beyond Pandoc's: callouts, tabsets, numbered figures, tables and sections, references.
-- References stay open (`<a class="reference" …>`): only the whole book knows what they name.

local chapter = "" -- the chapter's number, empty on an unnumbered page
local counts = { fig = 0, tbl = 0, [1] = 0, [2] = 0, [3] = 0, [4] = 0, [5] = 0, [6] = 0 }
local names = { fig = "Figure", tbl = "Table" }
local tabsets = 0

local function html(text)
  return pandoc.RawBlock("html", text)
end

local function text_of(value)
  return (pandoc.utils.stringify(value):gsub("&", "&amp;"):gsub("<", "&lt;"):gsub('"', "&quot;"))
end

local function kind_of(identifier)
  return identifier:match("^(%l+)%-")
end

-- The blocks as HTML within a tag of ours, its attributes as text.
local function within(tag, attributes, blocks)
  local out = pandoc.Blocks({ html("<" .. tag .. attributes .. ">") })
  out:extend(blocks)
  out:insert(html("</" .. tag .. ">"))
  return out
end

-- Callouts, in the HTML that Quarto gives them -----------------------------------------------------------------------

local function callout(div, kind)
  local content, title = div.content, pandoc.Inlines(kind:gsub("^%l", string.upper))
  if div.attributes.title then
    title = pandoc.Inlines(div.attributes.title)
  elseif content[1] and content[1].t == "Header" then
    title = content:remove(1).content
  end
  local folded = div.attributes.collapse
  local outer, header = "div", "div"
  local attributes = ' class="callout callout-style-default callout-titled callout-' .. kind .. '"'
  if folded then
    outer, header = "details", "summary"
    attributes = attributes .. (folded == "false" and " open" or "")
  end
  if div.identifier ~= "" then
    attributes = attributes .. ' id="' .. div.identifier .. '"'
  end
  local inner = within(header, ' class="callout-header"', { pandoc.Plain(title) })
  inner:extend(within("div", ' class="callout-body"', content))
  return within(outer, attributes, inner)
end

-- Tabs: a list of buttons and a panel each; without scripts, and on paper, all panels show ---------------------------

local function tabset(div)
  tabsets = tabsets + 1
  local base = "tabset-" .. tabsets .. "-"
  local level, panels = nil, {}
  for _, block in ipairs(div.content) do
    if block.t == "Header" and (level == nil or block.level == level) then
      level = block.level
      table.insert(panels, { title = block.content, content = pandoc.Blocks({}) })
    elseif #panels > 0 then
      panels[#panels].content:insert(block)
    end
  end
  local list, bodies = pandoc.Blocks({}), pandoc.Blocks({})
  for number, panel in ipairs(panels) do
    local tab, body = base .. number .. "-tab", base .. number
    list:insert(html(string.format('<button role="tab" id="%s" aria-controls="%s">', tab, body)))
    list:insert(pandoc.Plain(panel.title))
    list:insert(html("</button>"))
    local attributes = ' role="tabpanel" id="%s" aria-labelledby="%s" data-title="%s"'
    bodies:extend(within("div", attributes:format(body, tab, text_of(panel.title)), panel.content))
  end
  local all = within("div", ' role="tablist"', list)
  all:extend(bodies)
  return within("div", ' class="panel-tabset"', all)
end

local boxes = {
  Div = function(div)
    for _, class in ipairs(div.classes) do
      local kind = class:match("^callout%-(%l+)$")
      if kind then
        return callout(div, kind)
      elseif class == "panel-tabset" then
        return tabset(div)
      end
    end
  end,
}

-- Numbers ------------------------------------------------------------------------------------------------------------

local function number_of(kind)
  counts[kind] = counts[kind] + 1
  return (chapter ~= "" and chapter .. "." or "") .. counts[kind]
end

local function scrolled(content)
  return within("div", ' class="scroll"', { content })
end

-- A figure or table with its number and caption, the caption of a table above it.
local function float(identifier, blocks, caption)
  local kind = kind_of(identifier)
  local number = number_of(kind)
  local label = pandoc.Inlines({ pandoc.Str(names[kind] .. "\u{a0}" .. number) })
  if #caption > 0 then
    label:insert(pandoc.Str(": "))
    label:extend(caption)
  end
  local head = within("figcaption", "", { pandoc.Plain(label) })
  local body = pandoc.Blocks(blocks):walk({ Table = scrolled })
  local all = pandoc.Blocks({})
  all:extend(kind == "tbl" and head or body)
  all:extend(kind == "tbl" and body or head)
  local attributes = ' class="float %s" id="%s" data-label="%s" data-number="%s"'
  return within("figure", attributes:format(kind, identifier, identifier, number), all), false
end

local function linked(image)
  image.attributes.alt = image.attributes["fig-alt"] or pandoc.utils.stringify(image.caption)
  image.attributes["fig-alt"] = nil
  return pandoc.Link({ image }, image.src, "", { class = "lightbox" })
end

local numbers = {
  traverse = "topdown",

  Header = function(header)
    header.attributes.label = header.identifier
    if chapter == "" or header.classes:includes("unnumbered") then
      return header, false
    end
    local number = chapter
    counts[header.level] = counts[header.level] + 1
    for level = 2, header.level do
      number = number .. "." .. counts[level]
    end
    for level = header.level + 1, 6 do
      counts[level] = 0
    end
    header.attributes.number = number
    header.content:insert(1, pandoc.Space())
    header.content:insert(1, pandoc.Span({ pandoc.Str(number) }, { class = "header-section-number" }))
    return header
  end,

  Div = function(div)
    if names[kind_of(div.identifier)] then
      local blocks, caption = div.content, pandoc.Inlines({})
      local last = blocks[#blocks]
      if last and last.t == "Para" and not (#last.content == 1 and last.content[1].t == "Image") then
        caption = last.content
        blocks:remove()
      end
      return float(div.identifier, blocks:walk({ Image = linked }), caption)
    end
  end,

  Figure = function(figure)
    local blocks = figure.content:walk({ Image = linked })
    local caption = pandoc.utils.blocks_to_inlines(figure.caption.long)
    if kind_of(figure.identifier) == "fig" then
      return float(figure.identifier, blocks, caption)
    end
    blocks:extend(within("figcaption", "", { pandoc.Plain(caption) }))
    return within("figure", "", blocks), false
  end,

  Table = function(content)
    if kind_of(content.identifier) == "tbl" then
      local identifier, caption = content.identifier, pandoc.utils.blocks_to_inlines(content.caption.long)
      content.identifier, content.caption = "", pandoc.Caption()
      return float(identifier, { content }, caption)
    end
    return scrolled(content), false
  end,
}

-- References ---------------------------------------------------------------------------------------------------------

local cited = false

local references = {
  Link = function(link)
    if not link.target:match("^%a+:") then
      link.target = link.target:gsub("%.ipynb$", ".html"):gsub("%.ipynb#", ".html#")
      link.target = link.target:gsub("%.qmd$", ".html"):gsub("%.qmd#", ".html#")
      return link
    end
  end,

  Cite = function(cite)
    local out = pandoc.Inlines({})
    for _, citation in ipairs(cite.citations) do
      if not ({ fig = true, tbl = true, sec = true, eq = true })[kind_of(citation.id)] then
        cited = true
        return nil
      end
      if #out > 0 then
        out:insert(pandoc.Str(", "))
      end
      out:extend(citation.prefix)
      local form = (citation.mode == "SuppressAuthor" or #citation.prefix > 0) and "number" or "full"
      if #citation.prefix > 0 then
        out:insert(pandoc.Str("\u{a0}"))
      end
      out:insert(pandoc.RawInline("html", string.format('<a class="reference" data-form="%s">%s</a>', form, text_of(citation.id))))
      out:extend(citation.suffix)
    end
    return out
  end,
}

return {
  { Meta = function(meta) chapter = pandoc.utils.stringify(meta.chapter or "") end },
  boxes,
  numbers,
  references,
  { Pandoc = function(document)
      if cited then
        document.blocks:insert(pandoc.Header(2, "References", { id = "references", class = "unnumbered" }))
        document.blocks:insert(pandoc.Div({}, { id = "refs" }))
        return document
      end
    end },
}
